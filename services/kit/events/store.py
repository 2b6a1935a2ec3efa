"""Queries on the outbox, the stream and its subscriptions."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any as Anything
from uuid import UUID, uuid4

import sqlalchemy as sa
from rapport.events.v1 import events_pb2
from sqlalchemy import Connection
from sqlalchemy.dialects import postgresql as pg

from services.kit.tables import KitTables
from services.kit.wire import to_timestamp

CHANNEL = "rapport_events"
"""The NOTIFY channel that tells of new positions; the payload is not used."""


@dataclass(frozen=True, slots=True)
class Head:
    """Say where a stream stands: its timeline, newest position, and newest position no longer kept."""

    timeline: UUID
    position: int
    purged: int


@dataclass(frozen=True, slots=True)
class StoredCursor:
    """Hold a durable subscription's cursor."""

    name: str
    timeline: UUID
    position: int
    update_time: datetime


def ensure_stream(connection: Connection, kit: KitTables) -> None:
    """Make the stream's row when the database is new."""
    row = {"id": 1, "timeline": uuid4(), "last_position": 0, "purged_position": 0}
    connection.execute(pg.insert(kit.stream).values(row).on_conflict_do_nothing())


def read_head(connection: Connection, kit: KitTables) -> Head:
    """Return where the stream stands."""
    table = kit.stream
    row = connection.execute(
        sa.select(table.c.timeline, table.c.last_position, table.c.purged_position)
    ).one()
    return Head(*row)


def read_end(connection: Connection, kit: KitTables, timeline: UUID) -> int | None:
    """Return the position up to which a timeline that a restore ended is still true, or None of an unknown one."""
    table = kit.past_timeline
    end = connection.execute(sa.select(table.c.end_position).where(table.c.timeline == timeline)).scalar()
    return None if end is None else int(end)


def read_events(
    connection: Connection,
    kit: KitTables,
    service: str,
    *,
    after: int,
    until: int,
    types: list[str],
    limit: int,
) -> list[events_pb2.Event]:
    """Return the events with `after` < position <= `until`, in order; no types means all."""
    table = kit.outbox
    query = (
        sa.select(table)
        .where(table.c.position > sa.bindparam("after"), table.c.position <= sa.bindparam("until"))
        .order_by(table.c.position)
        .limit(sa.bindparam("limit"))
    )
    values: dict[str, Anything] = {"after": after, "until": until, "limit": limit}
    if types:
        query = query.where(table.c.type == sa.any_(sa.bindparam("types", type_=pg.ARRAY(sa.Text))))
        values["types"] = types
    return [_event(service, row) for row in connection.execute(query, values)]


def _event(service: str, row: Anything) -> events_pb2.Event:
    event = events_pb2.Event(
        id=str(row.id),
        type=row.type,
        source=service,
        position=row.position,
        subject=row.subject,
        contact=f"contacts/{row.contact_id}" if row.contact_id else "",
        revision=row.revision,
        historical=row.historical,
        traceparent=row.traceparent,
        occur_time=to_timestamp(row.occur_time),
        record_time=to_timestamp(row.record_time),
    )
    event.data.type_url = row.data_type
    event.data.value = row.data
    return event


def load_cursor(connection: Connection, kit: KitTables, name: str) -> StoredCursor | None:
    """Return a subscription's cursor, or None when there is no such subscription."""
    row = connection.execute(sa.select(kit.subscription).where(kit.subscription.c.name == name)).one_or_none()
    return StoredCursor(row.name, row.timeline, row.position, row.update_time) if row else None


def list_cursors(connection: Connection, kit: KitTables) -> list[StoredCursor]:
    """Return all subscriptions, by name."""
    rows = connection.execute(sa.select(kit.subscription).order_by(kit.subscription.c.name))
    return [StoredCursor(row.name, row.timeline, row.position, row.update_time) for row in rows]


def save_cursor(
    connection: Connection,
    kit: KitTables,
    name: str,
    timeline: UUID,
    position: int,
    *,
    rewind: bool,
    time: datetime,
) -> int:
    """Move a subscription's cursor, forward only unless `rewind`, and return where it is now."""
    table = kit.subscription
    statement = pg.insert(table).values(name=name, timeline=timeline, position=position, update_time=time)
    new = statement.excluded
    forward = (
        sa.true() if rewind else sa.or_(table.c.position < new.position, table.c.timeline != new.timeline)
    )
    connection.execute(
        statement.on_conflict_do_update(
            index_elements=[table.c.name],
            set_={"timeline": new.timeline, "position": new.position, "update_time": new.update_time},
            where=forward,
        )
    )
    now: int = connection.execute(sa.select(table.c.position).where(table.c.name == name)).scalar_one()
    return now


def count_unpositioned(connection: Connection, kit: KitTables) -> int:
    """Return how many committed events have no position yet."""
    table = kit.outbox
    return connection.execute(sa.select(sa.func.count()).where(table.c.position.is_(None))).scalar_one()


def assign_positions(connection: Connection, kit: KitTables, limit: int) -> int:
    """Give committed events the next positions, at most `limit` of them, and return how many.

    The stream's row is locked first and the events are read by a later statement, so that two relays cannot
    give the same position and a row is positioned by the one that can see it. All positions of a transaction
    become visible at its commit, and the next transaction starts after it: who sees a position sees all
    smaller ones.
    """
    # First a probe of the partial index: idle, it costs no write.
    waiting = sa.select(kit.outbox.c.id).where(kit.outbox.c.position.is_(None)).limit(1)
    if connection.execute(waiting).first() is None:
        return 0
    last = connection.execute(sa.select(kit.stream.c.last_position).with_for_update()).scalar_one()
    given = connection.execute(_ASSIGN, {"last": last, "limit": limit}).rowcount
    connection.execute(sa.update(kit.stream).values(last_position=last + given))
    connection.execute(sa.select(sa.func.pg_notify(CHANNEL, "")))
    return given


_ASSIGN = sa.text(
    """
    WITH numbered AS (
        SELECT id, row_number() OVER (ORDER BY id) AS number
        FROM (SELECT id FROM outbox WHERE position IS NULL ORDER BY id LIMIT :limit) AS waiting
    )
    UPDATE outbox SET position = :last + numbered.number FROM numbered WHERE outbox.id = numbered.id
    """
)


def purge(connection: Connection, kit: KitTables, *, before: datetime, until: int, limit: int) -> int:
    """Delete the oldest events recorded before a time and at most at position `until`; return how many.

    Takes a prefix of the stream, so that what is kept has no holes.
    """
    table = kit.outbox
    head = connection.execute(sa.select(kit.stream).with_for_update()).one()
    oldest = (
        sa.select(table.c.position, table.c.record_time)
        .where(table.c.position > head.purged_position, table.c.position <= until)
        .order_by(table.c.position)
        .limit(limit)
        .subquery()
    )
    kept = sa.select(sa.func.min(oldest.c.position)).where(oldest.c.record_time >= before)
    upper = sa.select(sa.func.max(oldest.c.position)).where(
        oldest.c.position < sa.func.coalesce(kept.scalar_subquery(), sa.literal(2**62))
    )
    last = connection.execute(upper).scalar_one()
    if last is None:
        return 0
    deleted = connection.execute(sa.delete(table).where(table.c.position <= last)).rowcount
    connection.execute(sa.update(kit.stream).values(purged_position=last))
    return deleted
