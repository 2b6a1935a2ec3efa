"""Gates in a database: work on its tables stops at chosen rows, in the middle of a statement or of a commit."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise

import psycopg

from services.kit.postgres import libpq_url
from tests.support.waiting import until

_KEY = 7_405_113
_STEP = 33
"""PostgreSQL logs sequences 32 values ahead: by so much a count may jump when the server is killed."""

_SETUP = f"""
CREATE SCHEMA gates;
CREATE SEQUENCE gates.written;
CREATE TABLE gates.gate (number int PRIMARY KEY, at bigint NOT NULL);
CREATE TABLE gates.forsaken (id text PRIMARY KEY);
CREATE FUNCTION gates.pass() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    written bigint;
BEGIN
    IF NOT EXISTS (SELECT FROM gates.forsaken WHERE id = pg_current_xact_id()::xid::text) THEN
        written := nextval('gates.written');
        PERFORM pg_advisory_xact_lock_shared({_KEY}, number) FROM gates.gate WHERE at <= written;
    END IF;
    IF TG_OP = 'DELETE' THEN
        RETURN OLD;
    END IF;
    RETURN NEW;
END $$;
"""


class Gates:
    """Stop whoever writes into tables at the n-th row.

    A closed gate is a lock of a prepared transaction, which outlives sessions and servers: so no write can slip through
    while a killed server comes back. Rows are counted as they are written, and again when they are written again, also
    by what rolls back: who has to write at least so many rows comes to the gate for certain. At a commit, where rows
    may count once more, that is not so: one that was forsaken there succeeds without counting.
    """

    def __init__(self, url: str, tables: Mapping[str, str], at_commit: Sequence[str] = ()) -> None:
        """Count rows. tables: what is done to them ("INSERT OR DELETE"), by name; at_commit: these once more then."""
        self._url = libpq_url(url)
        with psycopg.connect(self._url) as connection:
            connection.execute(_SETUP.encode())
            for name, deeds in tables.items():
                connection.execute(
                    f"CREATE TRIGGER pass BEFORE {deeds} ON {name} FOR EACH ROW EXECUTE FUNCTION gates.pass()".encode()
                )
                if name in at_commit:
                    connection.execute(
                        f"CREATE CONSTRAINT TRIGGER pass_late AFTER {deeds} ON {name} "
                        "DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION gates.pass()".encode()
                    )

    def close(self, points: Sequence[int]) -> list[int]:
        """Close a gate at each of these rows, counted from now on, and return their numbers."""
        assert all(later - former >= _STEP for former, later in pairwise(points)), points
        numbers = list(range(len(points)))
        with psycopg.connect(self._url) as connection:
            connection.execute("TRUNCATE gates.gate")
            connection.execute("ALTER SEQUENCE gates.written RESTART")
            for number, at in zip(numbers, points, strict=True):
                connection.execute("INSERT INTO gates.gate VALUES (%s, %s)", (number, at))
        with psycopg.connect(self._url, autocommit=True) as connection:
            for number in numbers:
                connection.execute("BEGIN")
                connection.execute("SELECT pg_advisory_xact_lock(%s, %s)", (_KEY, number))
                connection.execute(f"PREPARE TRANSACTION '{self._name(connection, number)}'".encode())
        return numbers

    def wait(self, number: int) -> list[str]:
        """Wait until somebody stands at a gate, and return who: the names of their applications."""
        found: list[str] = []

        def somebody() -> bool:
            found[:] = self._waiting(number)
            return bool(found)

        try:
            until(somebody, f"somebody at gate {number}")
        except AssertionError as error:
            raise AssertionError(f"{error}; closed are {self!r}") from None
        return found

    def forsake(self) -> None:
        """Count no more what transactions write that run now: who began them is about to die.

        Their rows so far stay counted, whatever dies: a commit makes all that was logged before it durable.
        """
        with psycopg.connect(self._url) as connection:
            connection.execute(
                "INSERT INTO gates.forsaken SELECT backend_xid::text FROM pg_stat_activity "
                "WHERE datname = current_database() AND backend_xid IS NOT NULL AND pid <> pg_backend_pid() "
                "ON CONFLICT DO NOTHING"
            )

    def open(self, number: int) -> None:
        """Let everybody pass a gate from now on."""
        with psycopg.connect(self._url, autocommit=True) as connection:
            connection.execute("DELETE FROM gates.gate WHERE number = %s", (number,))
            connection.execute(f"ROLLBACK PREPARED '{self._name(connection, number)}'".encode())

    def __repr__(self) -> str:
        with psycopg.connect(self._url) as connection:
            gates = connection.execute("SELECT number, at FROM gates.gate ORDER BY number").fetchall()
            written = connection.execute("SELECT last_value FROM gates.written").fetchone()
        return f"{gates} after {written} rows"

    def _waiting(self, number: int) -> list[str]:
        with psycopg.connect(self._url) as connection:
            rows = connection.execute(
                "SELECT a.application_name FROM pg_locks AS l JOIN pg_stat_activity AS a USING (pid) "
                "WHERE l.locktype = 'advisory' AND NOT l.granted AND a.datname = current_database() "
                "AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database()) "
                "AND l.classid = %s AND l.objid = %s ORDER BY 1",
                (_KEY, number),
            ).fetchall()
        return [str(row[0]) for row in rows]

    @staticmethod
    def _name(connection: psycopg.Connection[tuple[object, ...]], number: int) -> str:
        """Return a prepared transaction's name, which all databases of a server share."""
        return f"{connection.info.dbname} {number}"
