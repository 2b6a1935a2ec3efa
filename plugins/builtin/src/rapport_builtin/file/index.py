"""Which ids the files hold: an SQLite table that follows the files, which alone are the truth."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Collection, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

_SCHEMA = """
CREATE TABLE IF NOT EXISTS written (id TEXT PRIMARY KEY) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS place (file INTEGER PRIMARY KEY, bytes INTEGER NOT NULL);
"""
_AT_ONCE = 500


class Index:
    """The ids of `path` and of the full files beside it; used under the lock of the file.

    place: how far each file was read; number 0 is the one that is written, which gets its number when it is full.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file = Path(f"{path}.ids")
        try:
            self._open()
            self._database.execute("SELECT id FROM written LIMIT 1")
        except sqlite3.DatabaseError:
            # Broken, such as by a power cut: it is made anew.
            self.close()
            for name in (self._file, Path(f"{self._file}-journal")):
                name.unlink(missing_ok=True)
            self._open()

    def _open(self) -> None:
        self._database = sqlite3.connect(self._file, timeout=60, isolation_level=None)
        self._database.execute("PRAGMA synchronous = OFF")
        self._database.executescript(_SCHEMA)

    def known(self, ids: Collection[str]) -> set[str]:
        """Return those of the ids that the files hold."""
        wanted = list(ids)
        found: set[str] = set()
        for start in range(0, len(wanted), _AT_ONCE):
            part = wanted[start : start + _AT_ONCE]
            marks = ",".join("?" * len(part))
            rows = self._database.execute(f"SELECT id FROM written WHERE id IN ({marks})", part)
            found.update(row[0] for row in rows)
        return found

    def catch_up(self) -> None:
        """Read what was appended since the last time, by whomever."""
        places = dict(self._database.execute("SELECT file, bytes FROM place").fetchall())
        for number in (*self._full(), 0):
            path = self._name(number)
            size = path.stat().st_size if path.exists() else 0
            start = places.get(number, 0)
            if size <= start:
                continue
            with self._transaction():
                rows = ((one,) for one in _ids(path, start))
                self._database.executemany("INSERT OR IGNORE INTO written VALUES (?)", rows)
                self._database.execute("INSERT OR REPLACE INTO place VALUES (?, ?)", (number, size))

    def rotate(self) -> None:
        """Give the full file the next number, so that a new one begins."""
        number = max(self._full(), default=0) + 1
        self._path.rename(self._name(number))
        with self._transaction():
            self._database.execute("DELETE FROM place WHERE file = ?", (number,))
            self._database.execute("UPDATE place SET file = ? WHERE file = 0", (number,))

    def close(self) -> None:
        """Close the table."""
        with suppress(AttributeError, sqlite3.Error):
            self._database.close()

    def _full(self) -> list[int]:
        beginning = f"{self._path.name}."
        ends = (item.name.removeprefix(beginning) for item in self._path.parent.glob(f"{beginning}*"))
        return sorted(int(end) for end in ends if end.isascii() and end.isdigit())

    def _name(self, number: int) -> Path:
        return Path(f"{self._path}.{number}") if number else self._path

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        self._database.execute("BEGIN IMMEDIATE")
        try:
            yield
        except BaseException:
            self._database.execute("ROLLBACK")
            raise
        self._database.execute("COMMIT")


def _ids(path: Path, start: int) -> Iterator[str]:
    with path.open("rb") as lines:
        lines.seek(start)
        for line in lines:
            yield str(json.loads(line)["message_id"])
