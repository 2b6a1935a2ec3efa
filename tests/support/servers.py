"""Small embedded servers for tests of the server itself."""

from __future__ import annotations

import socket
from collections.abc import Callable
from pathlib import Path

import psycopg

from services.kit.postgres import EmbeddedPostgres, libpq_url
from services.kit.postgres.home import locate

MakeServer = Callable[..., EmbeddedPostgres]
SMALL = {"shared_buffers": "16MB", "max_connections": "20"}

# Keeps a server until it is killed; says `up <postmaster> <reaper>`.
KEEPER = """
    import signal, sys
    from pathlib import Path
    from services.kit.postgres import EmbeddedPostgres
    server = EmbeddedPostgres(Path(sys.argv[1]), settings=dict(shared_buffers="16MB", max_connections="20"),
                              throwaway=True, on_progress=lambda text: print("said", text))
    server.start()
    print("up", server.pid, server._reaper.pid)
    signal.pause()
"""


def run(server: EmbeddedPostgres, statement: str) -> list[tuple[object, ...]]:
    with psycopg.connect(libpq_url(server.admin_url), autocommit=True) as connection:
        cursor = connection.execute(statement.encode())
        return cursor.fetchall() if cursor.description else []


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def home_of(server: EmbeddedPostgres) -> Path:
    home = locate(server.data_dir)
    assert home is not None
    return home.path
