"""One moment of several databases.

Databases know nothing of each other, so snapshots taken one after the other may hold an effect in one and lack its
cause in another. Here writing stops in all of them for as long as it takes to take a snapshot of each: a shared lock on
every table is granted when the writes under way have ended, and holds up those that come. Reading goes on.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass

import psycopg
from psycopg import sql

from services.kit.errors import FailedPrecondition
from services.kit.postgres.errors import PostgresError
from services.kit.postgres.urls import libpq_url, redacted

Connection = psycopg.Connection[tuple[object, ...]]

LOCK_SECONDS = 0.3
"""How long writers are held up by an attempt that fails. Shorter than a second, after which PostgreSQL looks for
deadlocks and may end one of them in our place."""

VACUUM_SECONDS = 3
"""An autovacuum that is in the way ends itself after a second, if the lock is asked for longer than that."""

FIRST_PAUSE, LONGEST_PAUSE = 0.2, 5.0

_TABLES = """
SELECT n.nspname, c.relname FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE c.relkind IN ('r', 'p') AND c.relpersistence <> 't' AND n.nspname NOT LIKE 'pg\\_%'
AND n.nspname <> 'information_schema'
AND NOT EXISTS (SELECT FROM pg_depend d WHERE d.classid = 'pg_class'::regclass AND d.objid = c.oid AND d.deptype = 'e')
ORDER BY 1, 2
"""
_VACUUMED = """
SELECT n.nspname, c.relname FROM pg_locks l JOIN pg_class c ON c.oid = l.relation JOIN pg_namespace n
ON n.oid = c.relnamespace WHERE l.mode = 'ShareUpdateExclusiveLock' AND l.granted
AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database())
AND c.relkind IN ('r', 'p') AND n.nspname NOT LIKE 'pg\\_%'
"""

Table = tuple[str, str]


@dataclass(frozen=True)
class Moment:
    """A transaction of a database that sees it as it was at the cut; snapshot: by which others may see it so too."""

    connection: Connection
    snapshot: str


@dataclass(frozen=True)
class Cut:
    """All databases at one moment. held_seconds: how long writers waited for it; attempts: how often it was tried."""

    moments: Mapping[str, Moment]
    held_seconds: float
    attempts: int


@contextmanager
def cut(
    urls: Mapping[str, str], *, patience_seconds: float, on_wait: Callable[[str], None] = lambda text: None
) -> Iterator[Cut]:
    """Give the databases, {name: URL}, at one moment, for as long as the block lasts.

    Each attempt holds writers up for LOCK_SECONDS at the most; a transaction that writes for longer is waited for
    between the attempts, and an autovacuum is made to give way, during which its table waits for a second. on_wait:
    told what is in the way. Raises FailedPrecondition (NO_MOMENT) when there was no such moment in `patience_seconds`,
    PostgresError when a database cannot be reached.
    """
    until = time.monotonic() + patience_seconds
    pause = FIRST_PAUSE
    attempts = 0
    with ExitStack() as stack, ThreadPoolExecutor(len(urls), thread_name_prefix="cut") as pool:
        lockers = {name: stack.enter_context(connect(url, autocommit=True)) for name, url in urls.items()}
        readers = {name: stack.enter_context(connect(url, autocommit=False)) for name, url in urls.items()}
        for reader in readers.values():
            reader.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
            reader.read_only = True
        tables = {name: tables_of(connection) for name, connection in lockers.items()}
        while True:
            attempts += 1
            began = time.monotonic()
            try:
                free = list(pool.map(lambda name: _lock(lockers[name], tables[name]), urls))
                if all(free):
                    # Now nothing changes anywhere: whatever is committed in one of them, its causes are in the others.
                    snapshots = dict(
                        zip(urls, pool.map(lambda name: _export(readers[name]), urls), strict=True)
                    )
            finally:
                for connection in lockers.values():
                    connection.execute("ROLLBACK")
            held = time.monotonic() - began
            if all(free):
                break
            busy = [name for name, locked in zip(urls, free, strict=True) if not locked]
            if time.monotonic() >= until:
                raise FailedPrecondition(
                    f"{', '.join(busy)}: something has been writing all the time, so that there was no moment "
                    "between two writes: try again when imports and rebuilds are done, or wait longer (--wait)",
                    reason="NO_MOMENT",
                )
            on_wait(f"waiting for a long write in {', '.join(busy)}")
            for name in busy:
                _end_vacuum(lockers[name], set(tables[name]))
            time.sleep(pause)
            pause = min(pause * 2, LONGEST_PAUSE)
        for connection in lockers.values():
            connection.close()
        moments = {name: Moment(readers[name], snapshots[name]) for name in urls}
        yield Cut(moments, held, attempts)


def connect(url: str, *, autocommit: bool = True) -> Connection:
    """Connect to a database for as long as a backup or a restore takes; raises PostgresError."""
    # The snapshot lives as long as its transaction, in which nothing may happen for hours.
    options = "-c idle_in_transaction_session_timeout=0 -c statement_timeout=0 -c TimeZone=UTC"
    try:
        return psycopg.connect(
            libpq_url(url),
            autocommit=autocommit,
            connect_timeout=10,
            application_name="rapport backup",
            options=options,
        )
    except psycopg.OperationalError as error:
        raise PostgresError(f"cannot connect to {redacted(url)}: {str(error).strip()}") from error


def tables_of(connection: Connection) -> list[Table]:
    """Return the tables of a database that are no server's own and no extension's, by schema and name."""
    return _list(connection, _TABLES)


def _list(connection: Connection, query: str) -> list[Table]:
    return [(str(schema), str(name)) for schema, name in connection.execute(query.encode())]


def _lock(connection: Connection, tables: Sequence[Table], seconds: float = LOCK_SECONDS) -> bool:
    """Begin a transaction that keeps writers from tables; False when it has to wait for longer."""
    connection.execute("BEGIN")
    if not tables:
        return True
    connection.execute(f"SET LOCAL lock_timeout = {int(seconds * 1000)}".encode())
    names = sql.SQL(", ").join(sql.Identifier(*table) for table in tables)
    try:
        connection.execute(sql.SQL("LOCK TABLE {} IN SHARE MODE").format(names))
    except (psycopg.errors.LockNotAvailable, psycopg.errors.DeadlockDetected):
        # Others may go on at once, not when the slowest of the other databases has answered.
        connection.execute("ROLLBACK")
        return False
    return True


def _export(connection: Connection) -> str:
    row = connection.execute("SELECT pg_export_snapshot()").fetchone()
    assert row is not None
    return str(row[0])


def _end_vacuum(connection: Connection, tables: set[Table]) -> None:
    """Have autovacuum leave our tables, which gives way to whoever waits for it for a second.

    One table at a time: who waits for a lock and has none can be part of no deadlock.
    """
    for table in _list(connection, _VACUUMED):
        if table in tables:
            _lock(connection, [table], VACUUM_SECONDS)
            connection.execute("ROLLBACK")
