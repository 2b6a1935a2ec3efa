"""What code prints in a process that serves, such as that of a channel adapter: lines of the log like all others."""

from __future__ import annotations

import io
import logging
import threading
from typing import TextIO

_log = logging.getLogger("printed")

_LONGEST = 8_192


class Printed(io.TextIOBase):
    """Take the place of standard output; whole lines go to the log, those of each thread by themselves.

    original: the stream whose place it takes, for those who want its number.
    """

    def __init__(self, original: TextIO) -> None:
        self._original = original
        self._begun = threading.local()

    def writable(self) -> bool:
        """Say that it takes texts."""
        return True

    def fileno(self) -> int:
        """Return the number of the original, which child processes inherit."""
        return self._original.fileno()

    def write(self, text: str) -> int:
        """Take a text, and log the lines that it ends."""
        whole, newline, rest = text.rpartition("\n")
        begun = getattr(self._begun, "text", "")
        if newline or len(begun) + len(rest) > _LONGEST:
            self._tell(f"{begun}{whole}" if newline else f"{begun}{rest}")
            begun, rest = "", rest if newline else ""
        self._begun.text = f"{begun}{rest}"
        return len(text)

    def _tell(self, text: str) -> None:
        if text := text.strip():
            more = f"… and {len(text) - _LONGEST} characters more" if len(text) > _LONGEST else ""
            _log.warning("printed: %s%s", text[:_LONGEST], more)
