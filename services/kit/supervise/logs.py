"""Writes the output of a process to a file that never grows without limit."""

from __future__ import annotations

import os
from pathlib import Path

_TAIL_BYTES = 16384


class RotatingLog:
    """A log that is moved to `<name>.1`, `.2`, … at the end of a line once it is larger than `max_bytes`.

    A line without an end is cut when it alone is larger.
    """

    def __init__(self, path: Path, *, max_bytes: int = 10 << 20, keep: int = 4) -> None:
        self.path = path
        self._max_bytes = max_bytes
        self._keep = keep
        self._fd: int | None = None
        self._size = 0
        self._line = 0

    def write(self, data: bytes) -> None:
        """Append output; OSError when that is impossible, for want of space say: the output is then lost."""
        if self._fd is None:
            self._fd = os.open(self.path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
            self._size = os.fstat(self._fd).st_size
        if self._size > self._max_bytes:
            head, newline, tail = data.partition(b"\n")
            if newline or self._line > self._max_bytes:
                self._append(head + newline)
                self._rotate()
                if tail:
                    self.write(tail)
                return
        self._append(data)

    def close(self) -> None:
        """Close the file."""
        if self._fd is not None:
            fd, self._fd = self._fd, None
            os.close(fd)

    def _append(self, data: bytes) -> None:
        while data and self._fd is not None:
            written = os.write(self._fd, data)
            self._size += written
            end = data.rfind(b"\n", 0, written)
            self._line = written - end - 1 if end >= 0 else self._line + written
            data = data[written:]

    def _rotate(self) -> None:
        self.close()
        self._line = 0
        for number in range(self._keep, 0, -1):
            older = self.path.with_name(f"{self.path.name}.{number}")
            newer = self.path.with_name(f"{self.path.name}.{number - 1}") if number > 1 else self.path
            if newer.exists():
                newer.replace(older)


def tail(path: Path, lines: int = 20) -> str:
    """Return the last lines of a file, at most 16 KB of it; empty when it cannot be read."""
    try:
        with path.open("rb") as stream:
            stream.seek(0, os.SEEK_END)
            stream.seek(max(0, stream.tell() - _TAIL_BYTES))
            text = stream.read().decode("utf-8", errors="replace")
    except OSError:
        return ""
    return "\n".join(text.splitlines()[-lines:])
