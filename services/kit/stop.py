"""The wish of the outside that a process stop."""

from __future__ import annotations

import os
import select
import signal
import time
from types import FrameType


class StopSignal:
    """Note SIGTERM and SIGINT from the moment it is made, in the main thread; a second signal changes nothing.

    Whoever waits sleeps on a pipe that the interpreter writes to as soon as a signal arrives, in whichever thread. A
    threading.Event will not do: a handler may interrupt the very code that holds the event's lock, and a signal that
    arrives in another thread does not end the main thread's wait.
    """

    def __init__(self) -> None:
        """Install the handlers."""
        self._asked = False
        self._reader, writer = os.pipe()
        for end in (self._reader, writer):
            os.set_blocking(end, False)
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._note)
        signal.set_wakeup_fd(writer, warn_on_full_buffer=False)

    def _note(self, number: int, frame: FrameType | None) -> None:
        self._asked = True

    def fileno(self) -> int:
        """Return a descriptor that can be read, for a select, from the first signal on; nobody may read it."""
        return self._reader

    def asked(self) -> bool:
        """Tell whether a signal has come."""
        return self._asked

    def wait(self, seconds: float | None = None) -> bool:
        """Wait for a signal, so many seconds at the most; returns whether one has come, now or before."""
        until = None if seconds is None else time.monotonic() + seconds
        while not self._asked:
            left = None if until is None else max(0.0, until - time.monotonic())
            ready, _, _ = select.select([self._reader], [], [], left)
            # The handler itself runs before the next step.
            if not ready and left is not None and time.monotonic() >= (until or 0.0):
                break
        return self._asked
