"""One PostgreSQL server per test run, shared by all its processes, and empty databases on it."""

from __future__ import annotations

import fcntl
import json
import os
import secrets
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

from services.kit.postgres import EmbeddedPostgres, drop, provision
from tests.support.memory import memory_folder

ADMIN_URL_VARIABLE = "RAPPORT_TEST_ADMIN_URL"
EXTENSIONS = ("unaccent", "pg_trgm", "btree_gin")
# Tests lose nothing by a power cut, and many small databases are created.
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


class DatabaseFactory:
    """Makes empty databases, each with a role of its own, and deletes them at the end."""

    def __init__(self, admin_url: str) -> None:
        self.admin_url = admin_url
        self._made: list[tuple[str, str]] = []

    def __call__(self, service: str = "test", *, extensions: Sequence[str] = EXTENSIONS) -> str:
        """Return the SQLAlchemy URL of a new empty database whose owner is the URL's user.

        It is made as the product makes it, so there is a role `<user>_plugin` too.
        """
        prefix = f"t{secrets.token_hex(5)}"
        self._made.append((prefix, service))
        return provision(
            self.admin_url, [service], prefix=prefix, extensions=extensions, plugin_services=[service]
        )[service]

    def close(self) -> None:
        """Delete what was made, whether or not sessions are open."""
        while self._made:
            prefix, service = self._made.pop()
            drop(self.admin_url, [service], prefix=prefix)
