"""Queries for figures of the upkeep that Prometheus asks for; each reads one entry of an index."""

from __future__ import annotations

from datetime import datetime

import sqlalchemy as sa
from sqlalchemy import Connection

from services.care.models import case
from services.care.store.cases import ACTIVE


def oldest_broken(connection: Connection, now: datetime) -> datetime | None:
    """Return when the first of the promises was due that are broken and not marked yet, None when there is none."""
    columns = case.c
    first = [
        sa.select(due)
        .where(due < now, done.is_(None), ~mark, ACTIVE)
        .order_by(due)
        .limit(1)
        .scalar_subquery()
        for due, done, mark in (
            (columns.first_response_due, columns.first_response_time, columns.first_response_breached),
            (columns.resolution_due, columns.resolve_time, columns.resolution_breached),
        )
    ]
    return connection.execute(sa.select(sa.func.least(*first))).scalar()
