"""The service on a database of its own that holds so many contacts and events."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from services.kit.postgres import EmbeddedPostgres, provision
from tests.bench.segmentation import data
from tests.support.segmentation import World, world

SETTINGS = {
    "max_wal_size": "8GB",
    "checkpoint_timeout": "30min",
    "autovacuum": "off",
    "max_parallel_workers": "0",
    "work_mem": "64MB",
    "shared_buffers": "10GB",
    "maintenance_work_mem": "1GB",
}
"""Of the server, for ours and the ceilings alike. No parallel workers: figures are of one core.

Its buffers hold what increments of a million contacts in 200 segments read: the indexes of events (0.7 GB) and of
memberships by contact (3 GB), profiles and states (0.5 GB); and of four million in 20, twice as much. With less, each
of them is copied again and again from the system's cache, which is what a server that is too small for its data does.
"""


@contextmanager
def filled(contacts: int, events: int, say: Callable[[str], None]) -> Iterator[tuple[World, int]]:
    """Give the service on a database with so many contacts and events, and the server's process id."""
    with tempfile.TemporaryDirectory() as folder:
        server = EmbeddedPostgres(Path(folder) / "pg", settings=SETTINGS, throwaway=True)
        server.start()
        try:
            urls = provision(
                server.admin_url, ["segmentation"], prefix="bench", plugin_services=["segmentation"]
            )
            with world(urls["segmentation"]) as seg:
                started = time.monotonic()
                data.define(seg)
                with seg.db.transaction() as connection:
                    data.load(connection, contacts, events)
                with seg.db.engine.execution_options(isolation_level="AUTOCOMMIT").connect() as connection:
                    connection.exec_driver_sql("VACUUM ANALYZE")
                say(f"{contacts:,} contacts, {events:,} events loaded in {time.monotonic() - started:.0f} s")
                yield seg, server.pid or 0
        finally:
            server.destroy()
