"""Queries that say what is special about some contacts; each is one statement that reads every table once.

Whom they look at is a SELECT of contact_id, which may take the parameter `now`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from typing import Any, Literal

import sqlalchemy as sa
from sqlalchemy import Connection, Select
from sqlalchemy.dialects import postgresql as pg
from sqlalchemy.sql.elements import ColumnElement

from services.segmentation.models import event, membership, trait

# The rules' own, as their SQL for what is looked at and for values reads this one.
from services.segmentation.rules.tables import profile

Column = ColumnElement[Any]
Unit = Literal["week", "month", "year"]
_NUMBER = sa.Numeric(asdecimal=True)


@dataclass(frozen=True, slots=True)
class Group:
    """Hold contacts that share a value: a text, number, day, or the number of a bin; None when missing.

    last: whether they are those of the values left out, value then being how many values these are.
    """

    value: Any
    members: int
    contacts: int
    last: bool = False


@dataclass(frozen=True, slots=True)
class Counted:
    """Hold the groups of an attribute and who was counted; limits: the bounds of bins, None when there are no bins."""

    groups: list[Group]
    members: int
    contacts: int
    limits: list[Decimal] | None = None
    omitted: int = 0


def members_of(number: int) -> Select[Any]:
    """Return SELECT contact_id of the members of a segment who have a profile, as all that is counted has."""
    return (
        sa.select(membership.c.contact_id)
        .join(profile, profile.c.contact_id == membership.c.contact_id)
        .where(membership.c.segment_number == number)
    )


def everybody() -> Select[Any]:
    """Return SELECT contact_id of all contacts."""
    return sa.select(profile.c.contact_id)


def _base(who: Select[Any], value: Column) -> Any:
    """Return all contacts with their value and whether they are members, computed once."""
    chosen = who.cte("chosen")
    return (
        sa.select(
            profile.c.contact_id, value.label("value"), chosen.c.contact_id.is_not(None).label("member")
        )
        .select_from(profile.outerjoin(chosen, chosen.c.contact_id == profile.c.contact_id))
        .cte("base")
        .prefix_with("MATERIALIZED", dialect="postgresql")
    )


def _counts(relation: Any) -> tuple[Column, Column]:
    members: Column = sa.func.count().filter(relation.c.member).label("members")
    return members, sa.func.count().label("contacts")


def _sizes(base: Any) -> list[Column]:
    return [
        sa.select(column).select_from(base).scalar_subquery().label(f"all_{column.name}")
        for column in _counts(base)
    ]


def count_values(
    connection: Connection, who: Select[Any], value: Column, now: datetime, most: int
) -> Counted:
    """Count contacts by a value, those with the most members first; those beyond `most` together at the end."""
    base = _base(who, value)
    grouped = sa.select(base.c.value, *_counts(base)).group_by(base.c.value).cte("grouped")
    return _ranked(connection, grouped, base, now, most, rest=True)


def count_elements(
    connection: Connection, who: Select[Any], texts: Column, now: datetime, most: int
) -> Counted:
    """Count contacts by each text in a list, those with the most members first; who has none last."""
    base = _base(who, texts)
    items = (
        sa.func.unnest(base.c.value).table_valued(sa.column("item", sa.Text())).render_derived(name="items")
    )
    # A text that stands twice in a list counts once.
    distinct = (
        sa.select(base.c.contact_id, items.c.item.label("value"), base.c.member)
        .select_from(base.outerjoin(items, sa.true()))
        .distinct()
        .subquery("held")
    )
    grouped = sa.select(distinct.c.value, *_counts(distinct)).group_by(distinct.c.value).cte("grouped")
    return _ranked(connection, grouped, base, now, most, rest=False)


def _ranked(
    connection: Connection, grouped: Any, base: Any, now: datetime, most: int, *, rest: bool
) -> Counted:
    order = (grouped.c.members.desc(), grouped.c.contacts.desc(), grouped.c.value)
    missing = grouped.c.value.is_(None)
    rank = sa.func.row_number().over(partition_by=missing, order_by=order)
    ranked = sa.select(grouped, rank.label("rank")).subquery("ranked")
    shown: Column = sa.or_(ranked.c.value.is_(None), ranked.c.rank <= most)
    place: Column = sa.case((shown, ranked.c.rank), else_=most + 1)
    query = (
        sa.select(
            sa.case((shown, ranked.c.value)).label("value"),
            sa.func.sum(ranked.c.members).label("members"),
            sa.func.sum(ranked.c.contacts).label("contacts"),
            shown.label("shown"),
            sa.func.count().label("values"),
            *_sizes(base),
        )
        .group_by(sa.case((shown, ranked.c.value)), shown, place)
        .order_by(sa.case((shown, ranked.c.value)).is_(None), shown.desc(), place)
    )
    rows = list(connection.execute(query, {"now": now}))
    omitted = sum(row.values for row in rows if not row.shown)
    groups = [Group(row.value, int(row.members), int(row.contacts)) for row in rows if row.shown]
    groups.sort(key=lambda group: group.value is None)
    if rest:
        groups += [
            Group(row.values, int(row.members), int(row.contacts), True) for row in rows if not row.shown
        ]
    return Counted(groups, *_all(rows), omitted=omitted)


def _all(rows: Sequence[Any]) -> tuple[int, int]:
    return (rows[0].all_members, rows[0].all_contacts) if rows else (0, 0)


def count_numbers(
    connection: Connection,
    who: Select[Any],
    value: Column,
    now: datetime,
    *,
    limits: Sequence[Decimal],
    bins: int,
) -> Counted:
    """Count contacts by a number: in bins of given limits, or of limits at quantiles of all contacts, or by each value.

    bins: how many, when no limits are given; with no more different values than that, each value stands alone.
    """
    base = _base(who, sa.cast(value, _NUMBER))
    if limits:
        chosen: Column = sa.literal(list(limits), pg.ARRAY(_NUMBER))
    else:
        many = sa.func.count(base.c.value.distinct()) > bins
        steps: Column = sa.literal([step / bins for step in range(1, bins)], pg.ARRAY(sa.Float(53)))
        quantiles = sa.func.percentile_disc(steps).within_group(base.c.value)
        chosen = sa.select(sa.case((many, quantiles))).select_from(base).scalar_subquery()
    drawn = sa.select(sa.type_coerce(chosen, pg.ARRAY(_NUMBER)).label("limits")).cte("drawn")
    # Equal limits are where many contacts share a value; nothing lies below the least value.
    step = (
        sa.func.unnest(drawn.c.limits).table_valued(sa.column("step", _NUMBER)).render_derived(name="steps")
    )
    least = sa.select(sa.func.min(base.c.value)).scalar_subquery()
    kept = sa.select(sa.func.array_agg(sa.distinct(step.c.step))).select_from(drawn.join(step, sa.true()))
    if not limits:
        kept = kept.where(step.c.step > least)
    bounds = (
        sa.select(kept.scalar_subquery().label("limits"), drawn.c.limits.is_not(None).label("binned"))
        .select_from(drawn)
        .cte("bounds")
        .prefix_with("MATERIALIZED", dialect="postgresql")
    )
    # Without any limit left everything is one bin.
    listed = sa.func.coalesce(bounds.c.limits, sa.cast(pg.array([]), pg.ARRAY(_NUMBER)))
    where = sa.cast(sa.func.width_bucket(base.c.value, listed), _NUMBER)
    key = sa.case((base.c.value.is_(None), None), (bounds.c.binned, where), else_=base.c.value)
    query = (
        sa.select(
            key.label("value"),
            *_counts(base),
            bounds.c.binned,
            bounds.c.limits,
            *_sizes(base),
        )
        .select_from(base.join(bounds, sa.true()))
        .group_by(key, bounds.c.binned, bounds.c.limits)
        .order_by(key.nulls_last())
    )
    rows = list(connection.execute(query, {"now": now}))
    binned = bool(rows) and rows[0].binned
    groups = [
        Group(int(row.value) if binned and row.value is not None else row.value, row.members, row.contacts)
        for row in rows
    ]
    found = list(rows[0].limits or ()) if binned else None
    return Counted(groups, *_all(rows), found)


def count_days(
    connection: Connection,
    who: Select[Any],
    value: Column,
    now: datetime,
    *,
    unit: Unit,
    zone: str,
    most: int,
) -> Counted:
    """Count contacts by the week, month or year of a time in a zone, ascending; at most the newest so many."""
    base = _base(who, sa.cast(period_of(value, unit, zone), sa.Date))
    grouped = sa.select(base.c.value, *_counts(base)).group_by(base.c.value).cte("grouped")
    rank = sa.func.row_number().over(order_by=grouped.c.value.desc().nulls_last())
    ranked = sa.select(grouped, rank.label("rank")).subquery("ranked")
    shown: Column = sa.or_(ranked.c.value.is_(None), ranked.c.rank <= most)
    key = sa.case((shown, ranked.c.value))
    query = (
        sa.select(
            key.label("value"),
            shown.label("shown"),
            sa.func.sum(ranked.c.members).label("members"),
            sa.func.sum(ranked.c.contacts).label("contacts"),
            sa.func.count().label("values"),
            *_sizes(base),
        )
        .group_by(key, shown)
        .order_by(key.nulls_last(), shown.desc())
    )
    rows = list(connection.execute(query, {"now": now}))
    groups = [Group(row.value, int(row.members), int(row.contacts)) for row in rows if row.shown]
    groups += [Group(row.values, int(row.members), int(row.contacts), True) for row in rows if not row.shown]
    return Counted(groups, *_all(rows), omitted=sum(row.values for row in rows if not row.shown))


def period_of(instant: Column, unit: Unit, zone: str) -> Column:
    """Return the first moment, without a zone, of the calendar period that an instant lies in."""
    return sa.func.date_trunc(
        unit, sa.func.timezone(zone, instant, type_=sa.TIMESTAMP()), type_=sa.TIMESTAMP()
    )


@dataclass(frozen=True, slots=True)
class Activity:
    """Hold how many of a cohort were active in a period, and the amount of their events.

    period: None for the cohort's size.
    """

    cohort: date
    period: date | None
    contacts: int
    amount: Decimal


def cohorts(
    connection: Connection,
    who: Select[Any],
    *,
    first: str,
    active: str,
    unit: Unit,
    zone: str,
    since: date,
    now: datetime,
) -> list[Activity]:
    """Return the activity of cohorts that began on `since` or later, in order, each cohort's size first."""
    chosen = who.cte("chosen")
    day = sa.cast(period_of(event.c.occurred_at, unit, zone), sa.Date)
    seen = (
        sa.select(
            event.c.contact_id,
            event.c.type,
            day.label("period"),
            sa.func.coalesce(sa.func.sum(event.c.amount), 0).label("amount"),
        )
        .join(chosen, chosen.c.contact_id == event.c.contact_id)
        .where(event.c.type.in_({first, active}), event.c.occurred_at <= sa.bindparam("now"))
        .group_by(event.c.contact_id, event.c.type, day)
        .subquery("seen")
    )
    began = sa.func.min(seen.c.period).filter(seen.c.type == first).over(partition_by=seen.c.contact_id)
    placed = sa.select(seen, began.label("cohort")).subquery("placed")
    # The rows of the first events say how large a cohort is, those of the activity who was active.
    is_size = sa.and_(placed.c.type == first, placed.c.period == placed.c.cohort)
    is_active = sa.and_(placed.c.type == active, placed.c.period >= placed.c.cohort)
    query = (
        sa.select(
            placed.c.cohort,
            placed.c.period,
            sa.func.count().filter(is_size).label("size"),
            sa.func.count().filter(is_active).label("active"),
            sa.func.coalesce(sa.func.sum(placed.c.amount).filter(is_active), 0).label("amount"),
        )
        .where(placed.c.cohort >= since)
        .group_by(placed.c.cohort, placed.c.period)
        .order_by(placed.c.cohort, placed.c.period)
    )
    found = []
    for row in connection.execute(query, {"now": now}):
        if row.size:
            found.append(Activity(row.cohort, None, row.size, Decimal(0)))
        if row.active:
            found.append(Activity(row.cohort, row.period, row.active, Decimal(row.amount)))
    return sorted(found, key=lambda item: (item.cohort, item.period or date.min))


@dataclass(frozen=True, slots=True)
class Cell:
    """Hold the contacts with some scores, None for those without."""

    recency: int | None
    frequency: int | None
    contacts: int
    amount: Decimal


def rfm(
    connection: Connection, who: Select[Any], recency: Column, frequency: Column, now: datetime
) -> list[Cell]:
    """Count contacts by two scores, with what they spent."""
    chosen = who.cte("chosen")
    known = sa.and_(recency.between(1, 5), frequency.between(1, 5))
    keys = sa.case((known, recency)), sa.case((known, frequency))
    query = (
        sa.select(
            keys[0].label("recency"),
            keys[1].label("frequency"),
            sa.func.count().label("contacts"),
            sa.func.sum(profile.c.total_spent).label("amount"),
        )
        .select_from(profile.join(chosen, chosen.c.contact_id == profile.c.contact_id))
        .group_by(*keys)
    )
    return [
        Cell(row.recency, row.frequency, row.contacts, Decimal(row.amount))
        for row in connection.execute(query, {"now": now})
    ]


def refresh_times(connection: Connection, columns: Sequence[str]) -> list[datetime | None]:
    """Return when the available traits that fill these columns were last computed."""
    query = sa.select(trait.c.refresh_time).where(
        trait.c.available, trait.c.record["columns"].has_any(pg.array(columns))
    )
    return list(connection.execute(query).scalars())
