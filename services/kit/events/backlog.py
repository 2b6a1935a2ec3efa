"""Queries on what events wait for: their place in the stream, their consumers, somebody's help."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

import sqlalchemy as sa
from sqlalchemy import Connection

from services.kit.tables import KitTables

MOST = 100_000
"""Rows that are counted one by one at the most: a figure must not cost more the worse things are."""

MOST_CONSUMERS = 100


@dataclass(frozen=True, slots=True)
class Lag:
    """Say how many positions a consumer is behind, and since when its oldest event waits, None for no event."""

    consumer: str
    events: int
    since: datetime | None


def unpositioned(connection: Connection, kit: KitTables) -> tuple[int, datetime | None]:
    """Return how many committed events have no position yet, and when the first of them was recorded."""
    table = kit.outbox
    waiting = table.c.position.is_(None)
    some = sa.select(table.c.id).where(waiting).limit(MOST).subquery()
    count = connection.execute(sa.select(sa.func.count()).select_from(some)).scalar_one()
    first = sa.select(table.c.record_time).where(waiting).order_by(table.c.id).limit(1)
    return count, connection.execute(first).scalar() if count else None


def lags(connection: Connection, kit: KitTables) -> list[Lag]:
    """Return how far the durable consumers of the stream are behind, the farthest first, and not all of very many."""
    stream, cursor, event = kit.stream, kit.subscription, kit.outbox
    # After a restore a cursor of the old timeline says nothing about the new one.
    place = sa.case((cursor.c.timeline == stream.c.timeline, cursor.c.position), else_=sa.literal(0))
    oldest = (
        sa.select(event.c.record_time)
        .where(event.c.position > place)
        .order_by(event.c.position)
        .limit(1)
        .lateral()
    )
    behind = sa.func.greatest(stream.c.last_position - place, 0).label("behind")
    query = (
        sa.select(cursor.c.name, behind, oldest.c.record_time)
        .select_from(stream.join(cursor, sa.true()).outerjoin(oldest, sa.true()))
        .order_by(behind.desc(), cursor.c.name)
        .limit(MOST_CONSUMERS)
    )
    return [Lag(*row) for row in connection.execute(query)]


def dead_letters(connection: Connection, kit: KitTables) -> list[tuple[str, int]]:
    """Return how many events each consumer of this service gave up, those that gave up none left out."""
    some = sa.select(kit.dead_letter.c.consumer).limit(MOST).subquery()
    query = sa.select(some.c.consumer, sa.func.count()).group_by(some.c.consumer).order_by(some.c.consumer)
    return [(consumer, count) for consumer, count in connection.execute(query)]
