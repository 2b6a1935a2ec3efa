"""Membership as it was, and how it changed: the present members, and for each who left an interval that ended."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy import Connection
from sqlalchemy.dialects import postgresql as pg
from sqlalchemy.sql.selectable import FromClause

from services.segmentation.models import contact_gone, membership, membership_past, segment
from services.segmentation.store.past_segments import NAMED, version_of

_TIME = sa.DateTime(timezone=True)
_LAST = 2**63 - 1


@dataclass(frozen=True, slots=True)
class Change:
    """Tell that a contact entered a segment or left it; sequence orders changes of one member at one instant."""

    time: datetime
    segment_number: int
    contact_id: UUID
    sequence: int
    left: bool
    segment: str
    version: int

    @property
    def key(self) -> tuple[datetime, int, UUID, int]:
        """Return its place in the order of changes."""
        return (self.time, self.segment_number, self.contact_id, self.sequence)


def members_at(at: datetime) -> FromClause:
    """Return a relation with the columns segment_number and contact_id of the membership table, as of a time.

    A member may be in it twice. Members are told by the ids that they had then.
    """
    return sa.union_all(*_members_at(at)).subquery("members_at")


def seen_at(at: datetime) -> FromClause:
    """Return what ``members_at`` does, as rules see it today: the place that a contact had in a list is that of the
    contact into which it was merged since.
    """
    return sa.union_all(*_members_at(at), _inherited(at)).subquery("members_at")


def _members_at(at: datetime) -> list[sa.Select[Any]]:
    return [
        sa.select(membership.c.segment_number, membership.c.contact_id).where(
            membership.c.enter_time <= sa.literal(at, _TIME)
        ),
        sa.select(membership_past.c.segment_number, membership_past.c.contact_id).where(*ended_after(at)),
    ]


def ended_after(at: datetime) -> list[sa.ColumnElement[bool]]:
    """Return the conditions under which a row of the past is of somebody who was a member at a time."""
    instant = sa.literal(at, _TIME)
    return [membership_past.c.enter_time <= instant, membership_past.c.leave_time > instant]


def _inherited(at: datetime) -> sa.Select[Any]:
    return (
        sa.select(membership_past.c.segment_number, contact_gone.c.into.label("contact_id"))
        .join(contact_gone, contact_gone.c.contact_id == membership_past.c.contact_id)
        .join(segment, segment.c.number == membership_past.c.segment_number)
        .where(contact_gone.c.into.is_not(None), segment.c.kind == "list", *ended_after(at))
    )


def list_at(
    connection: Connection, number: int, at: datetime, *, after: UUID | None, limit: int
) -> list[UUID]:
    """Return who was a member at a time, in the order of their ids, those after an id."""
    relation = members_at(at)
    # Intervals of a member overlap only where the clock was set back; even then it is listed once.
    query = sa.select(relation.c.contact_id).distinct().where(relation.c.segment_number == number)
    if after is not None:
        query = query.where(relation.c.contact_id > after)
    return list(connection.execute(query.order_by(relation.c.contact_id).limit(limit)).scalars())


def changes(
    connection: Connection,
    *,
    contact_id: UUID | None,
    numbers: Sequence[int] | None,
    start: datetime,
    end: datetime | None,
    after: tuple[datetime, int, UUID, int] | None,
    limit: int,
) -> list[Change]:
    """Return entries and exits, newest first, from start on and before end, those after a `Change.key`.

    contact_id, numbers: of one contact, of some segments, or both; None for all.
    """
    twice: Any = membership_past.c.id * sa.literal_column("2")
    branches = [
        _branch(membership, "enter_time", sa.literal(_LAST, sa.BigInteger), left=False),
        _branch(membership_past, "enter_time", twice, left=False),
        _branch(membership_past, "leave_time", twice + 1, left=True),
    ]
    wanted = [_narrowed(branch, contact_id, numbers, start, end, after) for branch in branches]
    page = sa.union_all(*wanted).order_by(*_ORDER).limit(limit).subquery("page")
    named = NAMED.subquery("named")
    query = (
        sa.select(
            page.c.time,
            page.c.segment_number,
            page.c.contact_id,
            page.c.sequence,
            page.c.left,
            named.c.id,
            sa.func.coalesce(version_of(page.c.segment_number, page.c.time), 0),
        )
        .join(named, named.c.number == page.c.segment_number)
        .order_by(*(page.c[name].desc() for name in _KEY))
    )
    return [Change(*row) for row in connection.execute(query)]


_KEY = ("time", "segment_number", "contact_id", "sequence")
_ORDER: tuple[Any, ...] = tuple(sa.desc(name) for name in _KEY)
_KEY_TYPES: tuple[Any, ...] = (_TIME, sa.Integer(), pg.UUID(as_uuid=True), sa.BigInteger())


def _branch(table: sa.Table, time: str, sequence: Any, *, left: bool) -> sa.Select[Any]:
    return sa.select(
        table.c[time].label("time"),
        table.c.segment_number,
        table.c.contact_id,
        sequence.label("sequence"),
        sa.literal(left, sa.Boolean).label("left"),
    )


def _narrowed(
    branch: sa.Select[Any],
    contact_id: UUID | None,
    numbers: Sequence[int] | None,
    start: datetime,
    end: datetime | None,
    after: tuple[datetime, int, UUID, int] | None,
) -> sa.Select[Any]:
    time, number, contact, sequence, _ = branch.selected_columns
    conditions: list[sa.ColumnElement[bool]] = [time >= start]
    if end is not None:
        conditions.append(time < end)
    if contact_id is not None:
        conditions.append(contact == contact_id)
    if numbers is not None:
        conditions.append(number.in_(list(numbers)))
    if after is not None:
        place = sa.tuple_(*(sa.literal(value, type_) for value, type_ in zip(after, _KEY_TYPES, strict=True)))
        conditions.append(sa.tuple_(time, number, contact, sequence) < place)
    return branch.where(*conditions)


def forget(connection: Connection, contact_ids: Sequence[UUID]) -> None:
    """Delete the past memberships of contacts that are erased; the contacts must be locked."""
    connection.exec_driver_sql(
        "DELETE FROM membership_past WHERE contact_id = ANY(%(ids)s::uuid[])", {"ids": list(contact_ids)}
    )
