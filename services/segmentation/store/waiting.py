"""Queries on contacts that wait for a plugin."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy import Connection

from services.segmentation.models import stale


def add(connection: Connection, contact_ids: Sequence[UUID], *, historical: bool, now: datetime) -> None:
    """Remember contacts; one that waits for a live cause already, or does now, is not historical."""
    connection.exec_driver_sql(
        "INSERT INTO stale (contact_id, historical, since) SELECT unnest(%(ids)s::uuid[]), %(historical)s, %(now)s "
        "ON CONFLICT (contact_id) DO UPDATE SET historical = stale.historical AND excluded.historical",
        {"ids": list(contact_ids), "historical": historical, "now": now},
    )


def add_all(connection: Connection, now: datetime) -> None:
    """Remember every contact with a profile."""
    connection.exec_driver_sql(
        "INSERT INTO stale (contact_id, historical, since) SELECT contact_id, false, %(now)s FROM profile "
        "ON CONFLICT (contact_id) DO UPDATE SET historical = false",
        {"now": now},
    )


def remove(connection: Connection, contact_ids: Sequence[UUID]) -> None:
    """Forget contacts."""
    connection.exec_driver_sql(
        "DELETE FROM stale WHERE contact_id = ANY(%(ids)s::uuid[])", {"ids": list(contact_ids)}
    )


def any_left(connection: Connection) -> bool:
    """Tell whether any contact waits."""
    return connection.execute(sa.select(stale.c.contact_id).limit(1)).first() is not None
