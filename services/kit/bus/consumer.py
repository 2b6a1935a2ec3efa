"""What a consumer leaves in its service's database, beside the effects of its handler and dead letters."""

from __future__ import annotations

from datetime import datetime

import sqlalchemy as sa
from sqlalchemy import Connection

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
