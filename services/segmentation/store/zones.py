"""Queries on what PostgreSQL knows of time zones."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import Connection
from sqlalchemy.exc import DBAPIError

_NO_ZONE = "22023"


def local_times(connection: Connection, zone: str, instants: Sequence[datetime]) -> list[datetime] | None:
    """Return the times on a zone's clocks at some instants; None when PostgreSQL has no such zone."""
    try:
        with connection.begin_nested():
            rows = connection.exec_driver_sql(
                "SELECT timezone(%(zone)s::text, t) FROM unnest(%(instants)s::timestamptz[]) "
                "WITH ORDINALITY AS u(t, n) ORDER BY n",
                {"zone": zone, "instants": list(instants)},
            )
            return list(rows.scalars())
    except DBAPIError as error:
        if getattr(error.orig, "sqlstate", None) == _NO_ZONE:
            return None
        raise
