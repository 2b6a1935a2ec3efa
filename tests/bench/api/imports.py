"""The import of contacts, and of the same file again, beside the barest load of the same rows; beside what it writes,
ready-made; and its memory.

Each import runs in a process of its own that reads the file piece by piece, so that the most memory that it ever held
is the import's alone.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

from services.kit.config import Settings
from services.kit.postgres import libpq_url
from services.kit.runtime import make_runtime
from tests.bench.api import loads
from tests.bench.report import Figure
from tests.support.postgres import shared_server
from tests.support.toy import ROOT

BUDGET = 1 / 0.35
"""At least 0.35 times the rows a second of the ceiling."""
SMALL_SHARE = 4
"""The memory of an import is compared with that of one of a quarter of the rows."""
MEMORY_BUDGET = 1.2


def measure(say: Callable[[str], None], *, rows: int = 1_000_000) -> list[Figure]:
    """Import a file of so many people, load the same rows by COPY, and load what was written into the same tables."""
    peaks: dict[int, float] = {}
    ready_made = 0.0
    with tempfile.TemporaryDirectory() as folder, shared_server(Path(folder)) as admin:
        for count in (rows // SMALL_SHARE, rows):
            with loads.database(admin) as url:
                people = loads.make_rows(count, count % 7)
                bare = loads.ceiling(libpq_url(url), people)
                barest = loads.barest(libpq_url(url), people)
                file = Path(folder) / "people.csv"
                file.write_bytes(loads.make_csv(people))
                del people
                speed, again, peaks[count] = _import(url, file, count)
                if not ready_made:
                    # Of the smaller one, for the rows pass through memory.
                    ready_made = loads.ready_made(
                        libpq_url(url), ("contact", "identity", "outbox"), "contact"
                    )
                    say(f"{count:,} rows that need no work, into the same tables: {ready_made:,.0f}/s")
                say(
                    f"{count:,} rows imported at {speed:,.0f}/s, beside {bare:,.0f}/s bare: {speed / bare:.2f}, and "
                    f"{speed / ready_made:.2f} of the same tables; {peaks[count]:.0f} MiB of memory at the most; "
                    f"the same again at {again:,.0f}/s; into one table with one identity {barest:,.0f}/s"
                )
    return [
        Figure(
            f"import of {rows:,} contacts, beside a bare load", 1e6 / speed, 1e6 / bare, "us a row", BUDGET
        ),
        Figure("the same, beside the same tables", 1e6 / speed, 1e6 / ready_made, "us a row", BUDGET),
        Figure("the same file again, beside a bare load", 1e6 / again, 1e6 / bare, "us a row", BUDGET),
        Figure(
            "memory of an import, beside one of a quarter",
            peaks[rows],
            peaks[rows // SMALL_SHARE],
            "MiB",
            MEMORY_BUDGET,
        ),
    ]


def _import(url: str, file: Path, count: int) -> tuple[float, float, float]:
    """Return rows a second, of the first import and of a second one, and the most MiB that the process held."""
    command = [sys.executable, "-m", "tests.bench.api.imports", url, str(file)]
    done = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, check=True)
    found = json.loads(done.stdout)
    assert (found["created"], found["unchanged"]) == (count, count), found
    return found["speed"], found["again"], found["peak_mib"]


def main() -> int:
    """Import a file into a database, twice, and print what it took, as JSON."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.api.imports", description=main.__doc__)
    parser.add_argument("url")
    parser.add_argument("file", type=Path)
    options = parser.parse_args()
    runtime = make_runtime(
        "contacts", "worker", Settings(contacts_database_url=options.url, secret_key="k" * 32)
    )
    try:
        with options.file.open("rb") as file:
            speed, first = loads.run_import(runtime, file)
        peak = _peak_mib()
        with options.file.open("rb") as file:
            again, second = loads.run_import(runtime, file)
    finally:
        runtime.close()
    counts = {"created": first.created_count, "unchanged": second.unchanged_count}
    print(json.dumps({"speed": speed, "again": again, "peak_mib": peak, **counts}))
    return 0


def _peak_mib() -> float:
    # Not ru_maxrss, in which the kernel counts the process that started this one, too.
    status = Path("/proc/self/status").read_text(encoding="ascii")
    (peak,) = (line.split()[1] for line in status.splitlines() if line.startswith("VmHWM:"))
    return int(peak) / 1024


if __name__ == "__main__":
    sys.exit(main())
