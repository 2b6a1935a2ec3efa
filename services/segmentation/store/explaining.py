"""Queries on the facts of one contact, and on what a rule says about it."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy import Connection
from sqlalchemy.sql.selectable import FromClause

from services.segmentation.models import contact_gone, event, membership, membership_past, segment
from services.segmentation.rules import CompiledRule, ir
from services.segmentation.rules.stored import EventRow
from services.segmentation.store.past_members import ended_after

MOST_COLUMNS = 500


def row_of(connection: Connection, relation: FromClause, contact_id: UUID) -> Any:
    """Return the row of a contact in a relation with the columns of the profile table, or None."""
    query = sa.select(relation).where(relation.c.contact_id == contact_id)
    return connection.execute(query).one_or_none()


def values(
    connection: Connection,
    rule: CompiledRule,
    nodes: Sequence[ir.Node],
    contact_id: UUID,
    now: datetime,
    relation: FromClause,
    members: FromClause,
) -> dict[ir.Node, Any]:
    """Return the values of parts of a rule for a contact that is in the relation; NULL is None."""
    found: dict[ir.Node, Any] = {}
    wanted = list(dict.fromkeys(nodes))
    for start in range(0, len(wanted), MOST_COLUMNS):
        some = wanted[start : start + MOST_COLUMNS]
        select = rule.values_select(some, relation, members).where(relation.c.contact_id == contact_id)
        row = connection.execute(select, {"now": now}).one()
        found.update(zip(some, row[1:], strict=True))
    return found


def next_change(connection: Connection, select: sa.Select[Any], contact_id: UUID, now: datetime) -> Any:
    """Return the instant before which no leaf of a batch statement's rules changes by itself; None for never."""
    row = connection.execute(select, {"contact_ids": [contact_id], "now": now}).one_or_none()
    return None if row is None else row.next_change


def events(
    connection: Connection,
    contact_id: UUID,
    types: Collection[str],
    until: datetime | None,
    limit: int | None = None,
) -> list[EventRow]:
    """Return the newest events of some types, newest first; until: only up to this time."""
    payload = sa.cast(event.c.payload, sa.Text)
    query = (
        sa.select(
            event.c.event_id, event.c.type, event.c.category, event.c.amount, event.c.occurred_at, payload
        )
        .where(*_of(contact_id, types, until))
        .order_by(event.c.occurred_at.desc(), event.c.event_id.desc())
        .limit(limit)
    )
    return [EventRow(*row) for row in connection.execute(query)]


def event_count(
    connection: Connection, contact_id: UUID, types: Collection[str], until: datetime | None
) -> int:
    """Return how many events of some types a contact has; until: only up to this time."""
    query = sa.select(sa.func.count()).select_from(event).where(*_of(contact_id, types, until))
    return connection.execute(query).scalar_one()


def _of(contact_id: UUID, types: Collection[str], until: datetime | None) -> list[sa.ColumnElement[bool]]:
    conditions = [event.c.contact_id == contact_id, event.c.type.in_(sorted(types))]
    return conditions if until is None else [*conditions, event.c.occurred_at <= until]


def entered(connection: Connection, contact_id: UUID, at: datetime | None) -> dict[str, datetime]:
    """Return since when a contact is in which segments, by id; at: as of this time, None for now.

    Only of segments that are there: one that was made anew is another one than that which had its id before.
    """
    query = sa.select(segment.c.id, membership.c.enter_time).join_from(
        membership, segment, segment.c.number == membership.c.segment_number
    )
    if at is None:
        queries = [query.where(membership.c.contact_id == contact_id)]
    else:
        earlier = (
            sa.select(segment.c.id, membership_past.c.enter_time)
            .join_from(membership_past, segment, segment.c.number == membership_past.c.segment_number)
            .where(*ended_after(at))
        )
        # As `past_members.seen_at` has it: in lists it stands in the place of those who were merged into it.
        merged = sa.select(contact_gone.c.contact_id).where(contact_gone.c.into == contact_id)
        queries = [
            query.where(membership.c.contact_id == contact_id, membership.c.enter_time <= at),
            earlier.where(membership_past.c.contact_id == contact_id),
            earlier.where(segment.c.kind == "list", membership_past.c.contact_id.in_(merged)),
        ]
    found: dict[str, datetime] = {}
    for row in connection.execute(sa.union_all(*queries)):
        found[row.id] = min(row.enter_time, found.get(row.id, row.enter_time))
    return found
