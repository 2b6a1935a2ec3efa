"""Relations of one transaction: what plugins answered, for the SQL of rules to read, and whom to ask yet."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import Any
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy import Connection, Select
from sqlalchemy.dialects import postgresql as pg

from services.segmentation.store.sweeps import Slice

_UNDECIDED = sa.table("undecided", sa.column("contact_id", pg.UUID(as_uuid=True)))


def clear(connection: Connection) -> None:
    """Make the relation, or empty it."""
    connection.exec_driver_sql(
        "CREATE TEMPORARY TABLE IF NOT EXISTS plugin_leaf (leaf_no int NOT NULL, contact_id uuid NOT NULL, "
        "value jsonb, next_change timestamptz, PRIMARY KEY (leaf_no, contact_id)) ON COMMIT DROP"
    )
    connection.exec_driver_sql("TRUNCATE plugin_leaf")


def put(connection: Connection, number: int, rows: Iterable[tuple[UUID, str, datetime | None]]) -> None:
    """Store answers to one call: contact, value as JSON, and when it changes by time alone."""
    cursor = connection.connection.driver_connection.cursor()  # type: ignore[union-attr]
    with cursor, cursor.copy("COPY plugin_leaf (leaf_no, contact_id, value, next_change) FROM STDIN") as copy:
        for contact_id, value, next_change in rows:
            copy.write_row((number, contact_id, None if value == "null" else value, next_change))


def clear_undecided(connection: Connection) -> None:
    """Make the relation of contacts that are still to be asked about, or empty it."""
    connection.exec_driver_sql(
        "CREATE TEMPORARY TABLE IF NOT EXISTS undecided (contact_id uuid PRIMARY KEY) ON COMMIT DROP"
    )
    connection.exec_driver_sql("TRUNCATE undecided")


def find_undecided(
    connection: Connection, undecided: Select[Any], now: datetime, of: Slice | None = None
) -> None:
    """Note the rows of a SELECT of contact_id, as contacts that are still to be asked about. of: of whom it is, if it
    is of a span.
    """
    span = {} if of is None else {"first": of.first, "last": of.last}
    connection.execute(sa.insert(_UNDECIDED).from_select(["contact_id"], undecided), {"now": now, **span})


def strike_answered(connection: Connection, number: int) -> None:
    """Strike out those whose answer to one call is there."""
    connection.exec_driver_sql(
        "DELETE FROM undecided AS u USING plugin_leaf AS l "
        "WHERE l.leaf_no = %(number)s AND l.contact_id = u.contact_id",
        {"number": number},
    )


def count_undecided(connection: Connection) -> int:
    """Return how many contacts are still to be asked about."""
    return int(connection.exec_driver_sql("SELECT count(*) FROM undecided").scalar_one())


def take_undecided(connection: Connection, limit: int) -> list[UUID]:
    """Return the next contacts to be asked about, in the order of their ids, and strike them out."""
    rows = connection.exec_driver_sql(
        "DELETE FROM undecided WHERE contact_id IN "
        "(SELECT contact_id FROM undecided ORDER BY contact_id LIMIT %(limit)s) RETURNING contact_id",
        {"limit": limit},
    )
    return sorted(rows.scalars())


def bring_forward(connection: Connection) -> None:
    """Bring forward when memberships of contacts change, by the answers."""
    connection.exec_driver_sql(
        "UPDATE contact_state AS s SET next_change = n.at "
        "FROM (SELECT contact_id, min(next_change) AS at FROM plugin_leaf GROUP BY contact_id) AS n "
        "WHERE s.contact_id = n.contact_id AND (s.next_change IS NULL OR s.next_change > n.at)"
    )
