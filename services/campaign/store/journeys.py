"""Queries on journeys and their versions."""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime
from typing import Any
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy import Connection, Row
from sqlalchemy.dialects import postgresql as pg

from services.campaign.domain.journeys import (
    EARLY,
    Graph,
    Journey,
    definition_from_json,
    definition_to_json,
    graph_of,
    listens,
)
from services.campaign.domain.tracing import TRACE, without_trace
from services.campaign.models import (
    journey,
    journey_entry,
    journey_listen,
    journey_pause,
    journey_version,
)

_ROW = [
    journey.c[name]
    for name in (
        "id",
        "display_name",
        "active",
        "activate_time",
        "create_time",
        "version",
        "definition",
        "state",
        "cancel_reason",
    )
]


def insert(connection: Connection, item: Journey) -> bool:
    """Write a new journey with its first version; False when there is one of that id."""
    values = {
        **_columns(item),
        "id": item.id,
        "active": item.active,
        "activate_time": item.activate_time,
        "create_time": item.create_time,
        "version": 1,
    }
    statement = pg.insert(journey).values(values).on_conflict_do_nothing(index_elements=["id"])
    if connection.execute(statement.returning(journey.c.id)).first() is None:
        return False
    _add_version(connection, item, 1, item.create_time)
    return True


def update(connection: Connection, item: Journey, version: int, now: datetime) -> None:
    """Write a locked journey anew, with a version if its number is new."""
    new = connection.execute(
        sa.update(journey)
        .where(journey.c.id == item.id)
        .values(**_columns(item), version=version, activate_time=item.activate_time)
    )
    assert new.rowcount == 1
    if version != item.version:
        _add_version(connection, item, version, now)


def _columns(item: Journey) -> dict[str, Any]:
    definition = definition_to_json(item)
    return {
        "display_name": item.display_name,
        "event_type": item.event_type,
        "segment": item.segment,
        "reentry_after": item.reentry_after,
        "steps": definition["steps"],
        "definition": definition,
    }


def _add_version(connection: Connection, item: Journey, version: int, now: datetime) -> None:
    connection.execute(
        sa.insert(journey_version).values(
            journey_id=item.id, version=version, definition=definition_to_json(item), create_time=now
        )
    )
    heard = sorted(listens(item))
    if heard:
        connection.execute(
            sa.insert(journey_listen).values(
                [
                    {"event_type": name, "segment": segment, "journey_id": item.id, "version": version}
                    for name, segment in heard
                ]
            )
        )


def _with_counts() -> sa.Select[Any]:
    entry = journey_entry.c
    counts = (
        sa.select(
            sa.func.count().label("started_count"),
            sa.func.count(entry.finish_time).label("ended_count"),
            *(sa.func.count().filter(entry.outcome == name).label(name) for name in EARLY),
        )
        .where(entry.journey_id == journey.c.id)
        .lateral()
    )
    pause_time = (
        sa.select(journey_pause.c.pause_time)
        .where(journey_pause.c.journey_id == journey.c.id, journey_pause.c.resume_time.is_(None))
        .scalar_subquery()
    )
    return sa.select(*_ROW, pause_time.label("pause_time"), *counts.c).join(counts, sa.true())


def get(connection: Connection, key: str) -> Journey | None:
    """Return a journey with the counts of its entries, or None."""
    row = connection.execute(_with_counts().where(journey.c.id == key)).one_or_none()
    return None if row is None else _journey(row)


def lock(connection: Connection, key: str) -> Journey | None:
    """Return a journey without counts, locked until the transaction ends, or None."""
    row = connection.execute(sa.select(*_ROW).where(journey.c.id == key).with_for_update()).one_or_none()
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
    values: dict[str, Any] = {
        "active": active,
        "activate_time": sa.case((journey.c.active, journey.c.activate_time), else_=now) if active else None,
        # Dates that came round while it was inactive are gone.
        "fired_time": sa.case((journey.c.active, journey.c.fired_time), else_=now),
    }
    statement = sa.update(journey).where(journey.c.id == key).values(values)
    return bool(connection.execute(statement).rowcount)


def waiting_for(connection: Connection, types: Collection[str]) -> list[Journey]:
    """Return the active journeys that events of the types start."""
    wanted = sa.any_(sa.cast(list(types), pg.ARRAY(sa.Text)))
    query = sa.select(*_ROW).where(journey.c.active, journey.c.event_type == wanted).order_by(journey.c.id)
    return [_journey(row) for row in connection.execute(query)]


def graphs(connection: Connection, keys: Collection[tuple[str, int]]) -> dict[tuple[str, int], Graph]:
    """Return the graphs of versions by (journey, version)."""
    wanted = sorted(keys)
    query = sa.select(
        journey_version.c.journey_id,
        journey_version.c.version,
        sa.cast(journey_version.c.definition, sa.Text),
    ).where(sa.tuple_(journey_version.c.journey_id, journey_version.c.version).in_(wanted))
    return {(row[0], row[1]): graph_of(row[2]) for row in connection.execute(query)}


def version(connection: Connection, key: str, number: int) -> tuple[dict[str, Any], datetime] | None:
    """Return the fields of a Journey that a version has, and when it was made; None when there is none."""
    row = connection.execute(
        sa.select(journey_version.c.definition, journey_version.c.create_time).where(
            journey_version.c.journey_id == key, journey_version.c.version == number
        )
    ).one_or_none()
    return None if row is None else (definition_from_json(row[0]), row[1])


def versions(
    connection: Connection, key: str, *, before: int, count: int
) -> list[tuple[int, dict[str, Any], datetime, int]]:
    """Return the next versions, newest first: number, fields, when it was made, and how many are on it."""
    open_ = (
        sa.select(sa.func.count())
        .where(
            journey_entry.c.journey_id == key,
            journey_entry.c.version == journey_version.c.version,
            journey_entry.c.finish_time.is_(None),
        )
        .scalar_subquery()
    )
    query = (
        sa.select(
            journey_version.c.version, journey_version.c.definition, journey_version.c.create_time, open_
        )
        .where(journey_version.c.journey_id == key, journey_version.c.version < before)
        .order_by(journey_version.c.version.desc())
        .limit(count)
    )
    return [(row[0], definition_from_json(row[1]), row[2], row[3]) for row in connection.execute(query)]


def events_of(connection: Connection, entries: Collection[UUID]) -> dict[UUID, Any]:
    """Return what templates see of the events that started entries."""
    if not entries:
        return {}
    query = sa.select(journey_entry.c.id, journey_entry.c.event).where(
        journey_entry.c.id == sa.any_(sa.cast(list(entries), pg.ARRAY(pg.UUID(as_uuid=True))))
    )
    return {row.id: without_trace(row.event) for row in connection.execute(query)}


def traces_of(connection: Connection, entries: Collection[UUID]) -> dict[UUID, str]:
    """Return the trace contexts that entries carry, "" for none."""
    if not entries:
        return {}
    query = sa.select(journey_entry.c.id, journey_entry.c.event[TRACE].astext.label("trace")).where(
        journey_entry.c.id == sa.any_(sa.cast(list(entries), pg.ARRAY(pg.UUID(as_uuid=True))))
    )
    return {row.id: row.trace or "" for row in connection.execute(query)}


def _journey(row: Row[Any]) -> Journey:
    values = dict(row._mapping)
    definition = definition_from_json(values.pop("definition"))
    early = {name: values.pop(name, 0) for name in EARLY}
    ended = values.pop("ended_count", 0)
    return Journey(**values, **definition, finished_count=ended - sum(early.values()), left_counts=early)
