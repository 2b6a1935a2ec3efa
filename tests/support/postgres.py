"""One PostgreSQL server per test run, shared by all its processes, and empty databases on it."""

from __future__ import annotations

import fcntl
import json
import os
import secrets
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import psycopg
from psycopg import sql

from services.kit.postgres import EmbeddedPostgres, drop, libpq_url, provision
from services.kit.postgres.urls import parse, rewrite
from tests.support.memory import memory_folder
from tests.support.schema import create_schema

ADMIN_URL_VARIABLE = "RAPPORT_TEST_ADMIN_URL"
EXTENSIONS = ("unaccent", "pg_trgm", "btree_gin")
# Tests lose nothing by a power cut, and many small databases are created. Thousands of connections are opened, whose
# passwords nobody tries to guess.
FAST = {
    "fsync": "off",
    "synchronous_commit": "off",
    "full_page_writes": "off",
    "wal_compression": "off",
    "wal_level": "minimal",
    "max_wal_senders": "0",
    "max_connections": "400",
    "autovacuum_naptime": "5min",
    "log_min_duration_statement": "-1",
    "log_checkpoints": "off",
    "scram_iterations": "1",
}


@contextmanager
def shared_server(folder: Path) -> Iterator[str]:
    """Give the administrator's URL of the run's server; the first process starts it, and stops it at last.

    Its files are in memory where there is room for them: hundreds of databases are created and deleted, which a disk's
    file system does many times slower.
    `folder` is one that all processes of the run share. Users hold a shared lock while they need the server,
    so the process that started it can wait for the others before it stops it.
    """
    users = os.open(folder / "postgres.users", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    gate = os.open(folder / "postgres.gate", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    url_file = folder / "postgres.json"
    server: EmbeddedPostgres | None = None
    memory = ExitStack()
    try:
        fcntl.flock(users, fcntl.LOCK_SH)  # first: one that comes while the server is stopped starts another
        fcntl.flock(gate, fcntl.LOCK_EX)
        if url_file.exists():
            url = str(json.loads(url_file.read_text(encoding="utf-8"))["url"])
        else:
            root = memory.enter_context(memory_folder())
            # As root the folder is a link to where the server's user can reach its files.
            data = folder / "postgres" if root is None or os.geteuid() == 0 else root / "postgres"
            place = {} if root is None else {"root": root}
            server = EmbeddedPostgres(data, settings=FAST, throwaway=True, **place)
            server.start()
            url = server.admin_url
            _hash_password_anew(url)
            url_file.write_text(json.dumps({"url": url}), encoding="utf-8")
        fcntl.flock(gate, fcntl.LOCK_UN)
        yield url
    finally:
        os.close(gate)
        if server is not None:
            fcntl.flock(users, fcntl.LOCK_EX)
            url_file.unlink(missing_ok=True)
            server.destroy()
        memory.close()
        os.close(users)


def _hash_password_anew(url: str) -> None:
    """Let the administrator's connections be as cheap as the others: initdb knows nothing of the settings."""
    admin = parse(url)
    statement = sql.SQL("ALTER ROLE {} PASSWORD {}")
    with psycopg.connect(libpq_url(url), autocommit=True) as connection:
        connection.execute(
            statement.format(sql.Identifier(admin.username or ""), sql.Literal(admin.password))
        )


class Originals:
    """Databases that a process of the run makes once, as the product makes them, and copies for its tests.

    All copies of a service belong to the same role, `t<random>_<service>`, which has a role `<role>_plugin`. A copy
    costs a tenth of a new database with its tables. Not for use from several threads at once.
    """

    def __init__(self, admin_url: str) -> None:
        self.admin_url = admin_url
        self._prefix = f"t{secrets.token_hex(5)}"
        self._urls: dict[tuple[str, bool], str] = {}
        self._copies = 0
        self._admin: psycopg.Connection | None = None

    def copy(self, service: str, *, tables: bool) -> str:
        """Return the SQLAlchemy URL of a new database, empty but for its extensions or with the service's tables."""
        if (service, tables) not in self._urls:
            self._urls[service, tables] = self._make_tables(service) if tables else self._make(service)
        return self._copy(self._urls[service, tables])

    def drop(self, url: str) -> None:
        """Delete a copy, whether or not sessions are open."""
        name = sql.Identifier(parse(url).database or "")
        self._execute(sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(name))

    def close(self) -> None:
        """Delete the originals and their roles."""
        for (_, tables), url in self._urls.items():
            if tables:
                self.drop(url)
        drop(self.admin_url, [service for service, tables in self._urls if not tables], prefix=self._prefix)
        self._urls.clear()
        if self._admin is not None:
            self._admin.close()

    def _make(self, service: str) -> str:
        return provision(
            self.admin_url, [service], prefix=self._prefix, extensions=EXTENSIONS, plugin_services=[service]
        )[service]

    def _make_tables(self, service: str) -> str:
        url = self.copy(service, tables=False)
        create_schema(service, url)
        return url

    def _copy(self, url: str) -> str:
        original = parse(url)
        self._copies += 1
        name = f"{self._prefix}_{self._copies}"
        parts = {
            "name": sql.Identifier(name),
            "owner": sql.Identifier(original.username or ""),
            "original": sql.Identifier(original.database or ""),
        }
        # What the product sets for a database itself is not copied.
        for statement in (
            "CREATE DATABASE {name} OWNER {owner} TEMPLATE {original} STRATEGY file_copy",
            "REVOKE ALL ON DATABASE {name} FROM PUBLIC",
            "ALTER DATABASE {name} SET timezone TO 'UTC'",
        ):
            self._execute(sql.SQL(statement).format(**parts))
        return rewrite(url, database=name, user=original.username, password=original.password)

    def _execute(self, statement: sql.Composed) -> None:
        if self._admin is not None:
            try:
                self._admin.execute(statement)
                return
            except psycopg.OperationalError:
                if not self._admin.closed:
                    raise
        # There was none, or the server was killed meanwhile.
        self._admin = psycopg.connect(libpq_url(self.admin_url), autocommit=True)
        self._admin.execute(statement)


class DatabaseFactory:
    """Makes databases for tests and deletes them at the end."""

    def __init__(self, admin_url: str, originals: Originals | None = None) -> None:
        """originals: of the run; without them each database is made anew, with a role of its own."""
        self.admin_url = admin_url
        self._originals = originals
        self._copies: list[str] = []
        self._made: list[tuple[str, str]] = []

    def __call__(self, service: str = "test") -> str:
        """Return the SQLAlchemy URL of a new empty database whose owner is the URL's user.

        It is made as the product makes it, so there is a role `<user>_plugin` too.
        """
        return self._make(service) if self._originals is None else self._copy(service, tables=False)

    def with_tables(self, service: str) -> str:
        """Return the SQLAlchemy URL of a new database that has the tables of a service."""
        if self._originals is not None:
            return self._copy(service, tables=True)
        url = self._make(service)
        create_schema(service, url)
        return url

    def close(self) -> None:
        """Delete what was made, whether or not sessions are open."""
        while self._copies:
            assert self._originals is not None
            self._originals.drop(self._copies.pop())
        while self._made:
            prefix, service = self._made.pop()
            drop(self.admin_url, [service], prefix=prefix)

    def _copy(self, service: str, *, tables: bool) -> str:
        assert self._originals is not None
        self._copies.append(self._originals.copy(service, tables=tables))
        return self._copies[-1]

    def _make(self, service: str) -> str:
        prefix = f"t{secrets.token_hex(5)}"
        self._made.append((prefix, service))
        return provision(
            self.admin_url, [service], prefix=prefix, extensions=EXTENSIONS, plugin_services=[service]
        )[service]
