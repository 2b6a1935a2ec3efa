"""What a consumer leaves in its service's database, beside the effects of its handler."""

from __future__ import annotations

from datetime import datetime

import sqlalchemy as sa
from rapport.events.v1 import events_pb2
from sqlalchemy import Connection
from sqlalchemy.dialects import postgresql as pg

from services.kit.events.payload import event_uuid
from services.kit.log import safe_traceback
from services.kit.names import parse_name
from services.kit.tables import KitTables

LONGEST_ERROR = 10_000


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
    changed = {"error": statement.excluded.error, "create_time": statement.excluded.create_time}
    keys = [kit.dead_letter.c.consumer, kit.dead_letter.c.event_id]
    connection.execute(statement.on_conflict_do_update(index_elements=keys, set_=changed))


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
