"""Queries for figures of the upkeep that Prometheus asks for."""

from __future__ import annotations

from datetime import datetime

import sqlalchemy as sa
from sqlalchemy import Connection

from services.segmentation.models import contact_state, stale

MOST = 100_000
"""Contacts that are counted one by one at the most."""


def oldest_due(connection: Connection, now: datetime) -> datetime | None:
    """Return since when the contact that is longest due for an evaluation by time is due, None when none is."""
    query = (
        sa.select(contact_state.c.next_change)
        .where(contact_state.c.next_change <= now)
        .order_by(contact_state.c.next_change)
        .limit(1)
    )
    return connection.execute(query).scalar()


def count_waiting(connection: Connection) -> int:
    """Return how many contacts wait for a plugin."""
    some = sa.select(stale.c.contact_id).limit(MOST).subquery()
    return connection.execute(sa.select(sa.func.count()).select_from(some)).scalar_one()
