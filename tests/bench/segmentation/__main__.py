"""`make bench-segmentation`: measure, print, and write .rapport/bench/segmentation.json."""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from services.kit.postgres import EmbeddedPostgres, provision
from tests.bench.report import Figure, finish
from tests.bench.segmentation import data, rebuild
from tests.support.segmentation import World, world

PARTS = ("rebuild", "pass")
SETTINGS = {
    "max_wal_size": "8GB",
    "checkpoint_timeout": "30min",
    "autovacuum": "off",
    "max_parallel_workers": "0",
}
"""Of the server, for ours and the ceilings alike. No parallel workers: figures are of one core."""


def say(text: str) -> None:
    """Print a line at once."""
    print(text, flush=True)


@contextmanager
def filled(contacts: int, events: int, work_mem: str = "64MB") -> Iterator[tuple[World, int]]:
    """Give the service on a database with so many contacts and events, and the server's process id."""
    with tempfile.TemporaryDirectory() as folder:
        server = EmbeddedPostgres(
            Path(folder) / "pg", settings=SETTINGS | {"work_mem": work_mem}, throwaway=True
        )
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


def main() -> int:
    """Measure the parts that are asked for."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("--contacts", type=int, default=1_000_000)
    parser.add_argument("--events", type=int, default=10_000_000)
    parser.add_argument("--segments", type=int, default=200)
    parser.add_argument("--parts", default=",".join(PARTS), help="of " + ", ".join(PARTS))
    parser.add_argument("--output", type=Path, default=Path(".rapport/bench/segmentation.json"))
    options = parser.parse_args()
    parts = options.parts.split(",")
    figures: list[Figure] = []
    with filled(options.contacts, options.events) as (seg, postmaster):
        if "rebuild" in parts:
            figures += rebuild.measure(seg, postmaster, say)
        if "pass" in parts:
            figures += rebuild.measure_pass(seg, options.segments, postmaster, say)
    return finish(figures, options.output)


if __name__ == "__main__":
    sys.exit(main())
