"""Queries on journeys and those who are on them."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy import Connection, Row
from sqlalchemy.dialects import postgresql as pg

from services.campaign.domain.journeys import Advance, Entry, Journey, Trigger, steps_from_json, steps_to_json
from services.campaign.domain.tracing import TRACE, without_trace
from services.campaign.models import journey, journey_contact, journey_entry

_UUIDS = pg.ARRAY(pg.UUID(as_uuid=True))
_TIMES = pg.ARRAY(sa.DateTime(timezone=True))


def insert(connection: Connection, item: Journey) -> bool:
    """Write a new journey; False when there is one of that id."""
    values = {
        "id": item.id,
        "display_name": item.display_name,
        "event_type": item.event_type,
        "segment": item.segment,
        "reentry_after": item.reentry_after,
        "steps": steps_to_json(item.steps),
        "active": item.active,
        "activate_time": item.activate_time,
        "create_time": item.create_time,
    }
    statement = pg.insert(journey).values(values).on_conflict_do_nothing(index_elements=["id"])
    return connection.execute(statement.returning(journey.c.id)).first() is not None


def _with_counts() -> sa.Select[Any]:
    counts = (
        sa.select(
            sa.func.count().label("started_count"),
            sa.func.count(journey_entry.c.finish_time).label("finished_count"),
        )
        .where(journey_entry.c.journey_id == journey.c.id)
        .lateral()
    )
    return sa.select(journey, counts.c.started_count, counts.c.finished_count).join(counts, sa.true())


def get(connection: Connection, key: str) -> Journey | None:
    """Return a journey with the counts of its entries, or None."""
    row = connection.execute(_with_counts().where(journey.c.id == key)).one_or_none()
    return None if row is None else _journey(row)


def page(connection: Connection, *, after: str, count: int) -> list[Journey]:
    """Return the next journeys by id."""
    keys = sa.select(journey.c.id).where(journey.c.id > after).order_by(journey.c.id).limit(count)
    query = _with_counts().where(journey.c.id.in_(keys)).order_by(journey.c.id)
    return [_journey(row) for row in connection.execute(query)]


def set_active(connection: Connection, key: str, active: bool, now: datetime) -> bool:
    """Let events start a journey from now on, or no more; False when there is none.

    A journey that is active already stays active since when it was.
    """
    since = sa.case((journey.c.active, journey.c.activate_time), else_=now)
    values: dict[str, Any] = {"active": active, "activate_time": since if active else None}
    statement = sa.update(journey).where(journey.c.id == key).values(values)
    return bool(connection.execute(statement).rowcount)


def waiting_for(connection: Connection, types: Collection[str]) -> list[Journey]:
    """Return the active journeys that events of the types start."""
    wanted = sa.any_(sa.cast(list(types), pg.ARRAY(sa.Text)))
    query = sa.select(journey).where(journey.c.active, journey.c.event_type == wanted).order_by(journey.c.id)
    return [_journey(row) for row in connection.execute(query)]


def steps_of(connection: Connection, keys: Collection[str]) -> dict[str, Journey]:
    """Return journeys by id."""
    wanted = sa.any_(sa.cast(list(keys), pg.ARRAY(sa.Text)))
    return {
        row.id: _journey(row) for row in connection.execute(sa.select(journey).where(journey.c.id == wanted))
    }


def may_start(
    connection: Connection,
    journey_id: str,
    contacts: Collection[UUID],
    now: datetime,
    reentry: timedelta | None,
) -> set[UUID]:
    """Record that contacts start a journey now and return those whose last start allows it.

    The row of (contact, journey) decides: whoever comes at the same moment waits for it, and then sees this start.
    """
    ordered = sorted(contacts)
    column = sa.func.unnest(sa.cast(ordered, _UUIDS)).column_valued("contact_id")
    rows = sa.select(column, sa.literal(journey_id, sa.Text), sa.literal(now, sa.DateTime(timezone=True)))
    insert_ = pg.insert(journey_contact).from_select(["contact_id", "journey_id", "start_time"], rows)
    if reentry is None:
        statement = insert_.on_conflict_do_nothing()
    else:
        statement = insert_.on_conflict_do_update(
            index_elements=["contact_id", "journey_id"],
            set_={"start_time": insert_.excluded.start_time},
            where=journey_contact.c.start_time <= now - reentry,
        )
    return set(connection.scalars(statement.returning(journey_contact.c.contact_id)))


def enrol(connection: Connection, journey_id: str, entries: Mapping[UUID, Trigger], now: datetime) -> int:
    """Write entries by their id, due at once; one for each event. Returns how many are new."""
    if not entries:
        return 0
    statement = (
        pg.insert(journey_entry)
        .values(
            [
                {
                    "id": key,
                    "journey_id": journey_id,
                    "contact_id": trigger.contact_id,
                    "event_id": trigger.event_id,
                    "event": dict(trigger.event),
                    "step": 0,
                    "start_time": now,
                    "due_time": now,
                }
                for key, trigger in entries.items()
            ]
        )
        .on_conflict_do_nothing()
        .returning(journey_entry.c.id)
    )
    return len(connection.scalars(statement).all())


def take_due(connection: Connection, now: datetime, count: int) -> list[Entry]:
    """Return entries whose next step is due, locked until the transaction ends."""
    query = (
        sa.select(
            journey_entry.c.id,
            journey_entry.c.journey_id,
            journey_entry.c.contact_id,
            journey_entry.c.step,
            journey_entry.c.due_time,
        )
        .where(journey_entry.c.finish_time.is_(None), journey_entry.c.due_time <= now)
        .order_by(journey_entry.c.due_time, journey_entry.c.id)
        .limit(count)
        .with_for_update(skip_locked=True)
    )
    return [Entry(*row) for row in connection.execute(query)]


def move(connection: Connection, moves: Sequence[tuple[Entry, Advance]], now: datetime) -> None:
    """Store where entries stand after their steps."""
    item = (
        sa.func.unnest(
            sa.cast([entry.id for entry, _ in moves], _UUIDS),
            sa.cast([step.step for _, step in moves], pg.ARRAY(sa.Integer)),
            sa.cast([step.due_time for _, step in moves], _TIMES),
            sa.cast([now if step.finished else None for _, step in moves], _TIMES),
        )
        .table_valued("id", "step", "due_time", "finish_time", name="item")
        .render_derived()
    )
    connection.execute(
        sa.update(journey_entry)
        .where(journey_entry.c.id == item.c.id)
        .values(step=item.c.step, due_time=item.c.due_time, finish_time=item.c.finish_time)
    )


def events_of(connection: Connection, entries: Collection[UUID]) -> dict[UUID, Mapping[str, Any]]:
    """Return what templates see of the events that started entries."""
    if not entries:
        return {}
    query = sa.select(journey_entry.c.id, journey_entry.c.event).where(
        journey_entry.c.id == sa.any_(sa.cast(list(entries), _UUIDS))
    )
    return {row.id: without_trace(row.event) for row in connection.execute(query)}


def traces_of(connection: Connection, entries: Collection[UUID]) -> dict[UUID, str]:
    """Return the trace contexts that entries carry, "" for none."""
    if not entries:
        return {}
    query = sa.select(journey_entry.c.id, journey_entry.c.event[TRACE].astext.label("trace")).where(
        journey_entry.c.id == sa.any_(sa.cast(list(entries), _UUIDS))
    )
    return {row.id: row.trace or "" for row in connection.execute(query)}


def _journey(row: Row[Any]) -> Journey:
    values = dict(row._mapping)
    values["steps"] = steps_from_json(values["steps"])
    return Journey(**values)
