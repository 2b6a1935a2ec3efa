"""What a consumer leaves in its service's database, beside the effects of its handler and dead letters."""

from __future__ import annotations

from datetime import datetime

import sqlalchemy as sa
from rapport.events.v1 import events_pb2
from sqlalchemy import Connection

from services.kit.db import Database
from services.kit.events.payload import event_uuid
from services.kit.tables import KitTables


def forget_processed(
    connection: Connection,
    kit: KitTables,
    consumer: str,
    *,
    before: datetime,
    until: int,
    limit: int = 10_000,
) -> int:
    """Delete records of processed events that cannot come again; return how many.

    before: events recorded earlier are no longer kept by their source. until: the acknowledged position, past
    which an event may still come however old it is.
    """
    table = kit.processed_event
    old = (
        sa.select(table.c.event_id)
        .where(table.c.consumer == consumer, table.c.record_time < before, table.c.position <= until)
        .limit(limit)
    )
    return connection.execute(
        sa.delete(table).where(table.c.consumer == consumer, table.c.event_id.in_(old))
    ).rowcount


def had_effect(db: Database, kit: KitTables, consumer: str, event: events_pb2.Event) -> bool:
    """Tell whether a consumer has processed an event."""
    table = kit.processed_event
    query = sa.select(table.c.event_id).where(
        table.c.consumer == consumer, table.c.event_id == event_uuid(event)
    )
    with db.read() as connection:
        return connection.execute(query).first() is not None
