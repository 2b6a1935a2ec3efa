"""What a database holds: counted for the manifest of a backup, and again after a restore."""

from __future__ import annotations

from dataclasses import dataclass

from psycopg import sql

from services.kit import revisions
from services.kit.backup.cut import Connection, tables_of
from services.kit.backup.manifest import Place
from services.kit.errors import FailedPrecondition

UNFINISHED = revisions.UNFINISHED
_UNFINISHED_TABLE = tuple(UNFINISHED.split("."))


@dataclass(frozen=True)
class Contents:
    """Say what a database holds; the fields are those of `Part`."""

    revision: str
    head: Place
    unpositioned: int
    cursors: dict[str, Place]
    taken: dict[str, int]
    rows: dict[str, int]


def look(connection: Connection, service: str) -> Contents:
    """Return what a database holds, as a connection sees it.

    Raises FailedPrecondition (NO_SCHEMA, RESTORE_UNFINISHED) for one that is empty or was restored only in part.
    """
    if _one(connection, "SELECT to_regclass('public.alembic_version')") is None:
        raise FailedPrecondition(
            f"the database of {service} is empty: there is nothing to back up", reason="NO_SCHEMA"
        )
    if _one(connection, f"SELECT to_regclass('{UNFINISHED}')") is not None:
        raise FailedPrecondition(
            f"the database of {service} was restored only in part; it is no state to keep",
            reason="RESTORE_UNFINISHED",
        )
    taken = connection.execute(
        "SELECT consumer, max(position) FROM public.processed_event GROUP BY consumer"
    ).fetchall()
    return Contents(
        revision=str(_one(connection, "SELECT version_num FROM public.alembic_version")),
        head=read_head(connection),
        unpositioned=count_unpositioned(connection),
        cursors=read_cursors(connection),
        taken={str(name): _int(position) for name, position in taken},
        rows=count_rows(connection),
    )


def read_head(connection: Connection) -> Place:
    """Return the newest position of the event log."""
    row = connection.execute("SELECT timeline, last_position FROM public.stream").fetchone()
    return Place(timeline=str(row[0]), position=_int(row[1])) if row else Place(timeline="", position=0)


def read_cursors(connection: Connection) -> dict[str, Place]:
    """Return how far the consumers of the event log are, by subscription."""
    rows = connection.execute("SELECT name, timeline, position FROM public.subscription")
    return {str(name): Place(timeline=str(line), position=_int(at)) for name, line, at in rows}


def count_unpositioned(connection: Connection) -> int:
    """Return how many events have no position yet."""
    return _int(_one(connection, "SELECT count(*) FROM public.outbox WHERE position IS NULL"))


def count_rows(connection: Connection) -> dict[str, int]:
    """Return how many rows each table has, by schema and name."""
    counts = {}
    for schema, name in tables_of(connection):
        if (schema, name) != _UNFINISHED_TABLE:
            query = sql.SQL("SELECT count(*) FROM {}").format(sql.Identifier(schema, name))
            counts[f"{schema}.{name}"] = _int(_one(connection, query))
    return counts


def others_at_work(connection: Connection) -> list[str]:
    """Return the programs of Rapport that are connected to a database beside this connection, by name."""
    rows = connection.execute(
        "SELECT DISTINCT application_name FROM pg_stat_activity WHERE datname = current_database() "
        "AND pid <> pg_backend_pid() AND application_name LIKE 'rapport-%' ORDER BY 1"
    )
    return [str(name) for (name,) in rows]


def _one(connection: Connection, query: str | sql.Composed) -> object:
    row = connection.execute(query.encode() if isinstance(query, str) else query).fetchone()
    return None if row is None else row[0]


def _int(value: object) -> int:
    assert isinstance(value, int)
    return value
