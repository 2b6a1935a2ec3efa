"""The wish of the outside that a process stop."""

from __future__ import annotations

import contextlib
import signal
from collections.abc import Callable
from queue import Empty, SimpleQueue
from types import FrameType


class StopSignal:
    """Note SIGTERM and SIGINT from the moment it is made, in the main thread; a second signal changes nothing.

    No threading.Event: a handler may interrupt the very code that holds an event's lock, and would wait for it for
    ever. The put of a SimpleQueue may interrupt a get.
    """

    def __init__(self, then: Callable[[], object] = lambda: None) -> None:
        """Install the handlers. then: called in the handler too, so it must take no lock."""
        self._asked = False
        self._then = then
        self._notices: SimpleQueue[None] = SimpleQueue()
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._note)

    def _note(self, number: int, frame: FrameType | None) -> None:
        self._asked = True
        self._notices.put(None)
        self._then()

    def asked(self) -> bool:
        """Tell whether a signal has come."""
        return self._asked

    def wait(self, seconds: float | None = None) -> bool:
        """Wait for a signal, so many seconds at the most; returns whether one has come, now or before."""
        if not self._asked:
            with contextlib.suppress(Empty):
                self._notices.get(timeout=seconds)
        return self._asked
