"""Queries on contacts that just unsubscribed: contacts learns of it by an event, senders see it here at once."""

from __future__ import annotations

from datetime import datetime, timedelta
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy import Connection
from sqlalchemy.dialects import postgresql as pg

from services.campaign.models import opt_out

UNTOLD = timedelta(minutes=1)
"""A wish so young may not have reached contacts, which would still answer with the consent from before it."""
_KEPT = timedelta(hours=1)


def add(connection: Connection, contact_id: UUID, kind: str, topic: str, now: datetime) -> None:
    """Write down that a contact wants no more messages on a topic at addresses of a kind; forget the old ones."""
    insert = pg.insert(opt_out).values(contact_id=contact_id, kind=kind, topic=topic, time=now)
    latest = sa.func.greatest(opt_out.c.time, insert.excluded.time)
    connection.execute(
        insert.on_conflict_do_update(index_elements=["contact_id", "kind", "topic"], set_={"time": latest})
    )
    # Those that somebody else holds are left for the next time.
    old = (
        sa.select(opt_out.c.contact_id, opt_out.c.kind, opt_out.c.topic)
        .where(opt_out.c.time < now - _KEPT)
        .limit(100)
        .with_for_update(skip_locked=True)
        .cte("old")
    )
    connection.execute(
        sa.delete(opt_out).where(
            opt_out.c.contact_id == old.c.contact_id,
            opt_out.c.kind == old.c.kind,
            opt_out.c.topic == old.c.topic,
        )
    )
