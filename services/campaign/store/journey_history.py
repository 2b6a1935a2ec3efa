"""Queries on where people went on journeys."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy import Connection

from services.campaign.models import journey_entry, journey_move, message


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """Hold an entry as callers see it."""

    id: UUID
    journey_id: str
    version: int
    contact_id: UUID
    step_id: str
    step: int
    start_time: datetime
    due_time: datetime
    finish_time: datetime | None
    outcome: str
    problem: str
    event_type: str
    end_reason: str = ""


_STANDING = [
    *(journey_entry.c[name] for name in Standing.__dataclass_fields__ if name != "event_type"),
    sa.func.coalesce(journey_entry.c.event["type"].astext, "").label("event_type"),
]


@dataclass(frozen=True, slots=True)
class Taken:
    """Hold a step that was taken."""

    step: int
    step_id: str
    version: int
    edge: str
    next_id: str
    arrive_time: datetime
    leave_time: datetime


def get(connection: Connection, key: UUID) -> Standing | None:
    """Return an entry, or None."""
    row = connection.execute(sa.select(*_STANDING).where(journey_entry.c.id == key)).one_or_none()
    return None if row is None else Standing(**row._mapping)


def page(
    connection: Connection,
    *,
    journey_id: str,
    contact_id: UUID | None,
    only_open: bool,
    step_id: str,
    before: UUID | None,
    count: int,
) -> list[Standing]:
    """Return the next entries, newest first (ids rise with time)."""
    entry = journey_entry.c
    query = sa.select(*_STANDING).order_by(entry.id.desc()).limit(count)
    if journey_id:
        query = query.where(entry.journey_id == journey_id)
    if contact_id is not None:
        query = query.where(entry.contact_id == contact_id)
    if only_open:
        query = query.where(entry.finish_time.is_(None))
    if step_id:
        query = query.where(entry.step_id == step_id)
    if before is not None:
        query = query.where(entry.id < before)
    return [Standing(**row._mapping) for row in connection.execute(query)]


def path(connection: Connection, key: UUID) -> list[Taken]:
    """Return the steps that an entry took, in order."""
    columns = [journey_move.c[name] for name in Taken.__dataclass_fields__]
    query = sa.select(*columns).where(journey_move.c.entry_id == key).order_by(journey_move.c.step)
    return [Taken(*row) for row in connection.execute(query)]


def messages_of(
    connection: Connection, standing: Standing, steps: Sequence[int]
) -> dict[int, tuple[UUID, str, str]]:
    """Return id, state and reason of the messages that an entry sent, by the number of the step."""
    query = sa.select(message.c.step, message.c.id, message.c.state, message.c.reason).where(
        message.c.origin == f"journeys/{standing.journey_id}",
        message.c.entry_id == standing.id,
        message.c.step.in_(steps),
    )
    return {row[0]: (row[1], row[2], row[3]) for row in connection.execute(query)}


def flow(connection: Connection, key: str, version: int) -> dict[tuple[str, str, str], int]:
    """Return how often steps of a version were taken, by (step, edge, next)."""
    moved = journey_move.c
    query = (
        sa.select(moved.step_id, moved.edge, moved.next_id, sa.func.count())
        .where(moved.journey_id == key, moved.version == version)
        .group_by(moved.step_id, moved.edge, moved.next_id)
    )
    return {(row[0], row[1], row[2]): row[3] for row in connection.execute(query)}


def standing_counts(connection: Connection, key: str, version: int) -> dict[str, tuple[int, int, int]]:
    """Return by step how many entries of a version are in it, how many of these are held up, and how many ended."""
    entry = journey_entry.c
    is_open = entry.finish_time.is_(None)
    query = (
        sa.select(
            entry.step_id,
            sa.func.count().filter(is_open),
            sa.func.count().filter(is_open, entry.problem != ""),
            sa.func.count().filter(~is_open),
        )
        .where(entry.journey_id == key, entry.version == version)
        .group_by(entry.step_id)
    )
    return {row[0]: (row[1], row[2], row[3]) for row in connection.execute(query)}
