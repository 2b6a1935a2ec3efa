"""The import of contacts beside the barest load of the same rows, with its memory."""

from __future__ import annotations

import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil

from services.kit.config import Settings
from services.kit.postgres import libpq_url
from services.kit.runtime import make_runtime
from tests.bench import bench_import as parts
from tests.bench.report import Figure
from tests.support.postgres import shared_server

BUDGET = 1 / 0.35
"""At least 0.35 times the rows a second of the ceiling."""
SMALL_SHARE = 4
"""The memory of an import is compared with that of one of a quarter of the rows."""
MEMORY_BUDGET = 1.2


def measure(say: Callable[[str], None], *, rows: int = 1_000_000) -> list[Figure]:
    """Import a file of so many people, and load the same rows by COPY."""
    with (
        tempfile.TemporaryDirectory() as folder,
        shared_server(Path(folder)) as admin,
        parts.database(admin) as url,
    ):
        runtime = make_runtime("contacts", "worker", Settings(contacts_database_url=url, secret_key="k" * 32))
        peaks = {}
        try:
            for count in (rows // SMALL_SHARE, rows):
                people = parts.make_rows(count, count % 7)
                data = parts.make_csv(people)
                parts._empty(libpq_url(url))
                bare = parts.ceiling(libpq_url(url), people)
                del people
                with _peak() as peak:
                    speed, _, result = parts.run_import(runtime, data)
                assert result.created_count == count, result
                peaks[count] = max(peak)
                say(
                    f"{count:,} rows imported at {speed:,.0f}/s beside {bare:,.0f}/s: {speed / bare:.2f}; "
                    f"{max(peak) / 2**20:.0f} MiB more than before at the most"
                )
        finally:
            runtime.close()
    return [
        Figure(f"import of {rows:,} contacts", 1e6 / speed, 1e6 / bare, "us a row", BUDGET),
        Figure(
            "memory of an import, beside one of a quarter",
            _base(peaks[rows]),
            _base(peaks[rows // SMALL_SHARE]),
            "MiB",
            MEMORY_BUDGET,
        ),
    ]


def _base(peak: int) -> float:
    # What every import takes, so that a few MiB more or less are not taken for growth.
    return 64 + peak / 2**20


@contextmanager
def _peak() -> Iterator[list[int]]:
    """Watch how much more memory than at the start this process holds."""
    me = psutil.Process()
    start = me.memory_info().rss
    found = [0]
    done = threading.Event()

    def watch() -> None:
        while not done.wait(0.1):
            found[0] = max(found[0], me.memory_info().rss - start)

    thread = threading.Thread(target=watch, daemon=True)
    thread.start()
    try:
        yield found
    finally:
        done.set()
        thread.join()
