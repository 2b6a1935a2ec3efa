"""Queries on dead letters."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import sqlalchemy as sa
from rapport.events.v1 import dead_letters_pb2, events_pb2
from sqlalchemy import Connection
from sqlalchemy.dialects import postgresql as pg

from services.kit.events.payload import event_uuid
from services.kit.log import safe_traceback
from services.kit.names import parse_name
from services.kit.tables import KitTables

LONGEST_ERROR = 10_000

Place = tuple[str, datetime, UUID]
"""Where a dead letter stands in the order of the list: consumer, time and event."""


@dataclass(frozen=True, slots=True)
class Changed:
    """Say what a call did: those it changed, those that were so before, and the ids that there are none of."""

    changed: int
    before: int
    missing: tuple[UUID, ...]


def bury(
    connection: Connection,
    kit: KitTables,
    consumer: str,
    event: events_pb2.Event,
    error: Exception,
    time: datetime,
) -> None:
    """Store an event that could not be processed, with its error."""
    text = safe_traceback(error)[-LONGEST_ERROR:]
    row = {
        "consumer": consumer,
        "event_id": event_uuid(event),
        "source": event.source,
        "type": event.type,
        "contact_id": parse_name(event.contact, "contacts", "contact") if event.contact else None,
        "event": event.SerializeToString(),
        # PostgreSQL's text cannot hold NUL, which an error about bad input may quote.
        "error": text.replace("\0", "\\0"),
        "create_time": time,
    }
    statement = pg.insert(kit.dead_letter).values(row)
    new = statement.excluded
    changed = {"error": new.error, "create_time": new.create_time, "replay_time": None}
    keys = [kit.dead_letter.c.consumer, kit.dead_letter.c.event_id]
    connection.execute(statement.on_conflict_do_update(index_elements=keys, set_=changed))


def list_page(
    connection: Connection, kit: KitTables, *, consumer: str, after: Place | None, limit: int
) -> tuple[list[dead_letters_pb2.DeadLetter], Place | None]:
    """Return dead letters by consumer and time, of one or of all, and the place of the last if there are more."""
    table = kit.dead_letter
    place = (table.c.consumer, table.c.create_time, table.c.event_id)
    query = sa.select(table).order_by(*place).limit(limit + 1)
    if consumer:
        query = query.where(table.c.consumer == consumer)
    if after is not None:
        query = query.where(sa.tuple_(*place) > sa.tuple_(*map(sa.literal, after)))
    rows = connection.execute(query).all()
    last = rows[limit - 1] if len(rows) > limit else None
    return [_to_proto(row) for row in rows[:limit]], last and (last.consumer, last.create_time, last.event_id)


def ask_for_replay(
    connection: Connection, kit: KitTables, consumer: str, event_ids: Sequence[UUID] | None, time: datetime
) -> Changed:
    """Note that dead letters of a consumer are to be handled again; no ids (None) means all."""
    table = kit.dead_letter
    query = sa.select(table.c.event_id, table.c.replay_time).where(_of(kit, consumer, event_ids))
    # In an order, so that two of these cannot lock each other out.
    rows = connection.execute(query.order_by(table.c.event_id).with_for_update())
    found = {row.event_id: row.replay_time for row in rows}
    fresh = [key for key, asked in found.items() if asked is None]
    connection.execute(
        sa.update(table)
        .where(
            table.c.consumer == consumer,
            table.c.event_id == _any(fresh),
        )
        .values(replay_time=time)
    )
    return Changed(len(fresh), len(found) - len(fresh), _missing(event_ids, found))


def drop(connection: Connection, kit: KitTables, consumer: str, event_ids: Sequence[UUID] | None) -> Changed:
    """Delete dead letters of a consumer; no ids (None) means all."""
    table = kit.dead_letter
    statement = sa.delete(table).where(_of(kit, consumer, event_ids)).returning(table.c.event_id)
    gone = set(connection.execute(statement).scalars())
    return Changed(len(gone), 0, _missing(event_ids, gone))


def asked(
    connection: Connection, kit: KitTables, consumers: Sequence[str], limit: int
) -> list[tuple[str, events_pb2.Event]]:
    """Return events of these consumers that are to be handled again, those first asked for first."""
    table = kit.dead_letter
    query = (
        sa.select(table.c.consumer, table.c.event)
        .where(
            table.c.replay_time.is_not(None),
            table.c.consumer.in_(consumers),
        )
        .order_by(table.c.replay_time, table.c.create_time, table.c.event_id)
        .limit(limit)
    )
    return [(row.consumer, events_pb2.Event.FromString(row.event)) for row in connection.execute(query)]


def forget_replayed(connection: Connection, kit: KitTables, consumer: str, event_id: UUID) -> None:
    """Delete a dead letter that was handled again, unless it has failed once more."""
    table = kit.dead_letter
    connection.execute(
        sa.delete(table).where(
            table.c.consumer == consumer, table.c.event_id == event_id, table.c.replay_time.is_not(None)
        )
    )


def _of(kit: KitTables, consumer: str, event_ids: Sequence[UUID] | None) -> sa.ColumnElement[bool]:
    table = kit.dead_letter
    if event_ids is None:
        return table.c.consumer == consumer
    return sa.and_(table.c.consumer == consumer, table.c.event_id == _any(event_ids))


def _any(keys: Sequence[UUID]) -> sa.CollectionAggregate[bool]:
    # One parameter, however many keys.
    return sa.any_(sa.literal(list(keys), pg.ARRAY(pg.UUID(as_uuid=True))))


def _missing(event_ids: Sequence[UUID] | None, found: Any) -> tuple[UUID, ...]:
    return tuple(key for key in dict.fromkeys(event_ids or ()) if key not in found)


def _to_proto(row: Any) -> dead_letters_pb2.DeadLetter:
    letter = dead_letters_pb2.DeadLetter(consumer=row.consumer, error=row.error)
    letter.event.ParseFromString(row.event)
    letter.create_time.FromDatetime(row.create_time.astimezone(UTC))
    if row.replay_time is not None:
        letter.replay_time.FromDatetime(row.replay_time.astimezone(UTC))
    return letter
