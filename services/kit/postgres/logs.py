"""The server's log files."""

from __future__ import annotations

from pathlib import Path

from services.kit.postgres.home import Home
from services.kit.supervise.logs import tail

_KEEP = 10


def trim_logs(folder: Path, keep: int = _KEEP) -> None:
    """Delete all but the newest files of the log; the server begins one per day, start and 10 MB."""
    files = sorted(folder.glob("postgresql-*.log"))
    for path in files[:-keep]:
        path.unlink(missing_ok=True)


def log_tail(home: Home, lines: int = 15) -> str:
    """Return the last lines that the server wrote: before its log was open, and after."""
    newest = sorted(home.log.glob("postgresql-*.log"))[-1:]
    parts = [tail(path, lines) for path in (home.startup_log, *newest)]
    return "\n".join(part for part in parts if part) or "(the log is empty)"
