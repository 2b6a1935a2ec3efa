"""What a child process prints, brought into its parent's log: one line each, with its trace, without personal data."""

from __future__ import annotations

import logging
import os
import threading

from services.kit import context
from services.kit.context import CallContext

_log = logging.getLogger(__name__)

_CHUNK = 65_536
_LONGEST = 8_192
"""Characters of one line of the log; a chunk that is longer loses its end."""
_PAUSE_SECONDS = 0.02
"""Between two chunks: a child that prints without end waits for us, not we for it."""


class ChildOutput:
    """Follow what a child writes to a pipe, which it gets as its standard output and error.

    name: of the child, in the log. fd: the child's end, for as long as the child is being started. call: what the child
    works for; a line that comes when it is done is taken for one of the work before.
    """

    def __init__(self, name: str) -> None:
        self._name = name
        self._reader, self.fd = os.pipe()
        self.call: CallContext | None = None

    def follow(self) -> None:
        """Close the child's end here, and log what comes until nobody has it any more."""
        os.close(self.fd)
        threading.Thread(target=self._follow, name=f"output of {self._name}", daemon=True).start()

    def abandon(self) -> None:
        """Close both ends of a child that was not started."""
        os.close(self.fd)
        os.close(self._reader)

    def _follow(self) -> None:
        rest, pause = b"", threading.Event()
        try:
            while data := os.read(self._reader, _CHUNK):
                whole, newline, rest = (rest + data).rpartition(b"\n")
                if not newline and len(rest) >= _CHUNK:
                    whole, rest = rest, b""
                # What was written at once, such as a traceback, stays together.
                self._tell(whole)
                pause.wait(_PAUSE_SECONDS)
            self._tell(rest)
        finally:
            os.close(self._reader)

    def _tell(self, data: bytes) -> None:
        text = data.decode("utf-8", "replace").strip()
        if not text:
            return
        if len(text) > _LONGEST:
            text = f"{text[:_LONGEST]}… and {len(text) - _LONGEST} characters more"
        context.enter(self.call)
        _log.warning("%s prints: %s", self._name, text)
