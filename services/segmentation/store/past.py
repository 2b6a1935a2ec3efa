"""Profiles as they were: one row for each superseded state, written by the statement that supersedes it.

The states of a contact follow each other without a gap: the present one in `profile`, the earlier ones in
`profile_past`. What was known first reaches back without limit. Sums of orders are no part of a state; they are taken
from the events up to the time that is asked for.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy import Connection
from sqlalchemy.dialects import postgresql as pg
from sqlalchemy.sql.selectable import FromClause

from services.segmentation.models import ORDER_SUMS, event, profile, profile_past
from services.segmentation.rules import tables

ORDER_PLACED = "order.placed"

STATE = tuple(
    column.name for column in profile_past.c if column.name not in ("contact_id", "valid_from", "valid_until")
)
"""The columns of a state, beside the contact and the times."""

_STATE = ", ".join(STATE)
_OF_PROFILE = ", ".join(f"p.{name}" for name in STATE)


def archive_sql(changed: str) -> str:
    """Return the INSERT that keeps the present states of some contacts, for a WITH clause of the statement that changes
    them; parameter now.

    changed: a relation with the contact_id of each. A state that began at this very instant was never to be seen at an
    instant of its own, and leaves nothing behind.
    """
    return f"""
        INSERT INTO profile_past (contact_id, {_STATE}, valid_from, valid_until)
        SELECT p.contact_id, {_OF_PROFILE}, p.valid_from, %(now)s::timestamptz
        FROM profile AS p JOIN {changed} AS c ON c.contact_id = p.contact_id
        WHERE p.valid_from IS NULL OR p.valid_from < %(now)s::timestamptz
    """


def relation_at(at: datetime, among: Sequence[UUID] | None = None) -> FromClause:
    """Return a relation with the columns of the profile table that the rule engine knows, as of a time.

    It has one row for each contact with a profile; among: for those of some contacts alone. at: within the retention of
    profiles, and not in the future, for which the present profile is right. Each use in a statement is planned on its
    own and reads only the columns that it needs; sums of orders that nobody asks for cost nothing.
    """
    instant = sa.literal(at, sa.DateTime(timezone=True))
    present = sa.select(*_columns(profile)).where(
        sa.or_(profile.c.valid_from.is_(None), profile.c.valid_from <= instant)
    )
    earlier = sa.select(*_columns(profile_past)).where(
        sa.or_(profile_past.c.valid_from.is_(None), profile_past.c.valid_from <= instant),
        profile_past.c.valid_until > instant,
    )
    if among is not None:
        present = present.where(_is_among(profile, among))
        earlier = earlier.where(_is_among(profile_past, among))
    return _with_orders(sa.union_all(present, earlier).subquery("state_at"), instant, among)


def present_at(at: datetime, among: Sequence[UUID] | None = None) -> FromClause:
    """Return like `relation_at` a relation of the present states, but with the sums of orders as of a time.

    It serves whoever asks nothing of a profile but those, at any past time, however old.
    """
    states = (
        profile if among is None else sa.select(profile).where(_is_among(profile, among)).subquery("some")
    )
    return _with_orders(states, sa.literal(at, sa.DateTime(timezone=True)), among)


def _columns(table: sa.Table) -> list[sa.ColumnElement[Any]]:
    return [table.c[column.name] for column in tables.profile.c if column.name not in ORDER_SUMS]


def _is_among(table: sa.Table, contact_ids: Sequence[UUID]) -> sa.ColumnElement[bool]:
    return table.c.contact_id == sa.any_(sa.literal(list(contact_ids), pg.ARRAY(pg.UUID(as_uuid=True))))


def _with_orders(
    states: FromClause, instant: sa.ColumnElement[Any], among: Sequence[UUID] | None = None
) -> FromClause:
    # Grouped by the key that it is joined by, so that the planner drops it where no sum is read.
    wanted = [event.c.type == ORDER_PLACED, event.c.occurred_at <= instant]
    if among is not None:
        # The planner takes only an equality into a grouped relation, not a choice of several.
        wanted.append(_is_among(event, among))
    orders = (
        sa.select(
            event.c.contact_id,
            sa.func.count().label("order_count"),
            sa.func.coalesce(sa.func.sum(event.c.amount), 0).label("total_spent"),
            sa.func.min(event.c.occurred_at).label("first_order_time"),
            sa.func.max(event.c.occurred_at).label("last_order_time"),
        )
        .where(*wanted)
        .group_by(event.c.contact_id)
        .subquery("orders_at")
    )
    listed: list[sa.ColumnElement[Any]] = []
    for column in tables.profile.c:
        if column.name not in ORDER_SUMS:
            listed.append(states.c[column.name])
        elif column.nullable:
            listed.append(orders.c[column.name])
        else:
            listed.append(sa.func.coalesce(orders.c[column.name], 0, type_=column.type).label(column.name))
    source = states.outerjoin(orders, orders.c.contact_id == states.c.contact_id)
    return sa.select(*listed).select_from(source).subquery("profile_at")


def find_at(connection: Connection, contact_id: UUID, at: datetime) -> Any:
    """Return what a contact's row of the profile table said at a time, or None when the contact has no profile.

    at: as for `relation_at`.
    """
    relation = relation_at(at)
    return connection.execute(sa.select(relation).where(relation.c.contact_id == contact_id)).one_or_none()


def forget(connection: Connection, contact_ids: Sequence[UUID]) -> None:
    """Delete the earlier states of contacts that are erased or merged; the contacts must be locked."""
    connection.exec_driver_sql(
        "DELETE FROM profile_past WHERE contact_id = ANY(%(ids)s::uuid[])", {"ids": list(contact_ids)}
    )
