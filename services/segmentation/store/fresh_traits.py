"""Values of traits on their way into profiles, in a table of the session."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from uuid import UUID

from sqlalchemy import Connection

_DIFFERENT = "p.traits <> (p.traits - %(columns)s::text[]) || f.traits"


def make(connection: Connection) -> None:
    """Begin the table."""
    connection.exec_driver_sql(
        "CREATE TEMPORARY TABLE fresh_trait (contact_id uuid PRIMARY KEY, traits jsonb NOT NULL)"
    )


def put(connection: Connection, values: Iterable[tuple[UUID, str]]) -> None:
    """Take in values of contacts of which none were taken in before, as JSON text."""
    cursor = connection.connection.driver_connection.cursor()  # type: ignore[union-attr]
    with cursor, cursor.copy("COPY fresh_trait (contact_id, traits) FROM STDIN") as copy:
        for row in values:
            copy.write_row(row)


def keep_different(connection: Connection, columns: Sequence[str]) -> None:
    """Forget the values that the profiles hold already, and those of contacts that are gone."""
    connection.exec_driver_sql("ANALYZE fresh_trait")
    connection.exec_driver_sql(
        "DELETE FROM fresh_trait AS f WHERE NOT EXISTS "
        f"(SELECT FROM profile AS p WHERE p.contact_id = f.contact_id AND {_DIFFERENT})",
        {"columns": list(columns)},
    )


def put_empty(connection: Connection, columns: Sequence[str]) -> None:
    """Take in that no contact has the values any more."""
    connection.exec_driver_sql(
        "INSERT INTO fresh_trait SELECT contact_id, '{}'::jsonb FROM profile WHERE traits ?| %(columns)s::text[]",
        {"columns": list(columns)},
    )


def take(connection: Connection, limit: int) -> list[tuple[UUID, str]]:
    """Return the next contacts with their values as JSON text, and forget them if the transaction commits."""
    rows = connection.exec_driver_sql(
        "DELETE FROM fresh_trait WHERE contact_id IN "
        "(SELECT contact_id FROM fresh_trait ORDER BY contact_id LIMIT %(limit)s) RETURNING contact_id, traits::text",
        {"limit": limit},
    )
    return sorted((row[0], row[1]) for row in rows)


def drop(connection: Connection) -> None:
    """End the table."""
    connection.exec_driver_sql("DROP TABLE IF EXISTS fresh_trait")
