"""The relation that carries plugins' answers to the SQL of rules; it lives as long as its transaction."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from uuid import UUID

from sqlalchemy import Connection


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


def bring_forward(connection: Connection) -> None:
    """Bring forward when memberships of contacts change, by the answers."""
    connection.exec_driver_sql(
        "UPDATE contact_state AS s SET next_change = n.at "
        "FROM (SELECT contact_id, min(next_change) AS at FROM plugin_leaf GROUP BY contact_id) AS n "
        "WHERE s.contact_id = n.contact_id AND (s.next_change IS NULL OR s.next_change > n.at)"
    )
