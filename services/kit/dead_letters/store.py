"""Queries on dead letters."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import sqlalchemy as sa
from rapport.events.v1 import dead_letters_pb2, events_pb2
from sqlalchemy import Connection
from sqlalchemy.dialects import postgresql as pg

from services.kit import gone
from services.kit.events.payload import event_uuid
from services.kit.log import safe_traceback
from services.kit.names import parse_name
from services.kit.tables import KitTables

LONGEST_ERROR = 10_000

MOST_BEGUN = 3
"""A replay during which the process ended so often is given up: it may be what ends it, with all that runs there."""

_NOTE = "\nReplays that were begun and have not ended, as when the process ends of them: {number}"
_NOTED = re.compile(_NOTE.format(number=r"(\d+)") + r"\Z")

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
    """Store an event that could not be processed, with its error.

    One of a contact that was erased meanwhile is not kept: nobody would delete it any more.
    """
    if gone.is_erased(connection, kit.dead_letter.metadata, event):
        return
    row = {
        "consumer": consumer,
        "event_id": event_uuid(event),
        "source": event.source,
        "type": event.type,
        "contact_id": parse_name(event.contact, "contacts", "contact") if event.contact else None,
        "event": event.SerializeToString(),
        "error": _text_of(error),
        "create_time": time,
    }
    statement = pg.insert(kit.dead_letter).values(row)
    new = statement.excluded
    changed = {"error": new.error, "create_time": new.create_time, "replay_time": None}
    keys = [kit.dead_letter.c.consumer, kit.dead_letter.c.event_id]
    connection.execute(statement.on_conflict_do_update(index_elements=keys, set_=changed))


def fail_again(
    connection: Connection,
    kit: KitTables,
    consumer: str,
    event: events_pb2.Event,
    error: Exception,
    time: datetime,
) -> None:
    """Store why the event of a dead letter failed once more; one that was dropped or erased meanwhile stays away."""
    connection.execute(
        sa.update(kit.dead_letter)
        .where(_one(kit, consumer, event_uuid(event)))
        .values(error=_text_of(error), create_time=time, replay_time=None)
    )


def _text_of(error: Exception) -> str:
    # PostgreSQL's text cannot hold NUL, which an error about bad input may quote.
    return safe_traceback(error)[-LONGEST_ERROR:].replace("\0", "\\0")


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
        # What an earlier replay came to is over.
        .values(replay_time=time, error=sa.func.regexp_replace(table.c.error, _NOTED.pattern, ""))
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


def begin_replay(connection: Connection, kit: KitTables, consumer: str, event_id: UUID) -> bool:
    """Note that a dead letter is about to be handled again; False when it must not be.

    That is when it was dropped or erased meanwhile, or when its consumer's process ended MOST_BEGUN times while it
    handled it: then nobody handles it before it is put back once more.
    """
    table = kit.dead_letter
    this = sa.and_(_one(kit, consumer, event_id), table.c.replay_time.is_not(None))
    error = connection.execute(sa.select(table.c.error).where(this).with_for_update()).scalar_one_or_none()
    if error is None:
        return False
    before, begun = _begun(error)
    if begun >= MOST_BEGUN:
        connection.execute(sa.update(table).where(this).values(replay_time=None))
        return False
    # What stands there if the process ends; otherwise this is undone, or the letter is gone, or tells another error.
    note = _NOTE.format(number=begun + 1)
    text = f"{before[-(LONGEST_ERROR - len(note)) :]}{note}"
    connection.execute(sa.update(table).where(this).values(error=text))
    return True


def put_off_replay(connection: Connection, kit: KitTables, consumer: str, event_id: UUID) -> None:
    """Undo `begin_replay`, as the process stops before it is done."""
    table = kit.dead_letter
    this = _one(kit, consumer, event_id)
    error = connection.execute(sa.select(table.c.error).where(this).with_for_update()).scalar_one_or_none()
    if error is not None:
        before, begun = _begun(error)
        text = before + (_NOTE.format(number=begun - 1) if begun > 1 else "")
        connection.execute(sa.update(table).where(this).values(error=text))


def forget_replayed(connection: Connection, kit: KitTables, consumer: str, event_id: UUID) -> None:
    """Delete a dead letter whose event has had its effect."""
    connection.execute(sa.delete(kit.dead_letter).where(_one(kit, consumer, event_id)))


def _begun(error: str) -> tuple[str, int]:
    """Return the error of a dead letter and how often its replay was begun and not brought to an end."""
    found = _NOTED.search(error)
    return (error[: found.start()], int(found[1])) if found else (error, 0)


def _one(kit: KitTables, consumer: str, event_id: UUID) -> sa.ColumnElement[bool]:
    return sa.and_(kit.dead_letter.c.consumer == consumer, kit.dead_letter.c.event_id == event_id)


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
