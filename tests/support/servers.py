"""Small embedded servers for tests of the server itself."""

from __future__ import annotations

import socket
import subprocess
from collections.abc import Callable
from pathlib import Path

import psycopg

from services.kit.postgres import EmbeddedPostgres, libpq_url
from services.kit.postgres.account import Account
from services.kit.postgres.binaries import Binaries
from services.kit.postgres.home import Home, locate

MakeServer = Callable[..., EmbeddedPostgres]
SMALL = {"shared_buffers": "16MB", "max_connections": "20"}

# Keeps a server until it is killed; says `up <postmaster> <reaper>`. With a second argument its cluster is copied.
KEEPER = """
    import signal, sys
    from pathlib import Path
    from tests.support.servers import CopiedPostgres
    server = CopiedPostgres(Path(sys.argv[1]), cluster=Path(sys.argv[2]) if sys.argv[2:] else None,
                            settings=dict(shared_buffers="16MB", max_connections="20"),
                            throwaway=True, on_progress=lambda text: print("said", text))
    server.start()
    print("up", server.pid, server._reaper.pid)
    signal.pause()
"""


class CopiedPostgres(EmbeddedPostgres):
    """A server whose cluster, where there is none yet, is a copy of one that was made before; initdb takes longer."""

    def __init__(self, data_dir: Path, *, cluster: Path | None = None, **options: object) -> None:
        """cluster: a folder of `make_cluster`; None runs initdb as the product does."""
        super().__init__(data_dir, **options)  # type: ignore[arg-type]
        self._cluster = cluster

    def _settle_password(self, home: Home, binaries: Binaries, account: Account) -> None:
        if self._cluster is not None and not home.initialised():
            _copy(self._cluster / "admin.password", home.password_file)
            _copy(self._cluster / "data", home.data)
        super()._settle_password(home, binaries, account)


def make_cluster(folder: Path) -> Path:
    """Make a cluster, as the product does, and keep it in a new folder, for servers to begin with a copy."""
    folder.mkdir(mode=0o700)
    server = EmbeddedPostgres(folder.with_name(f"{folder.name}-first"), settings=SMALL, throwaway=True)
    try:
        server.start()
        server.stop()
        for name in ("admin.password", "data"):
            _copy(home_of(server) / name, folder / name)
    finally:
        server.destroy()
    return folder


def _copy(source: Path, target: Path) -> None:
    """Copy a file or folder with its owner and rights."""
    subprocess.run(["cp", "-a", str(source), str(target)], check=True)


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
