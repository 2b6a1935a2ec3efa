"""How far consumers have come, told to their sources now and then.

The queue alone decides what a consumer gets. Its source wants to know for `GetStream`, to keep events that somebody
lacks, and for where to go on when the queue is lost or the transport is changed.
"""

from __future__ import annotations

import logging
import threading

from rapport.events.v1 import events_pb2

from services.kit.bus.amqp.catchup import Replay
from services.kit.bus.transport import StreamBroken

_log = logging.getLogger(__name__)

EVERY_SECONDS = 0.5
LONGEST_PAUSE = 10.0


class Progress:
    """Tell sources the cursors of their subscriptions, in a thread of its own that starts with the first report."""

    def __init__(self, replay: Replay) -> None:
        self._replay = replay
        self._cursors: dict[tuple[str, str], events_pb2.Cursor] = {}
        self._changed = threading.Condition()
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None

    def report(self, source: str, subscription: str, cursor: events_pb2.Cursor) -> None:
        """Note where a subscription is; does not wait."""
        with self._changed:
            self._cursors[source, subscription] = cursor
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="progress", daemon=True)
                self._thread.start()
            self._changed.notify()

    def close(self) -> None:
        """Tell what was not told yet, as far as that is possible now, and end the thread."""
        self._stop.set()
        with self._changed:
            self._changed.notify()
        if self._thread is not None:
            self._thread.join()

    def _run(self) -> None:
        pause = EVERY_SECONDS
        while not self._stop.is_set():
            with self._changed:
                self._changed.wait_for(lambda: bool(self._cursors) or self._stop.is_set())
            failed = self._tell()
            pause = min(pause * 2, LONGEST_PAUSE) if failed else EVERY_SECONDS
            self._stop.wait(pause)
        self._tell()

    def _tell(self) -> bool:
        """Tell all cursors and return whether one must be told again."""
        with self._changed:
            cursors, self._cursors = self._cursors, {}
        failed = False
        for (source, subscription), cursor in cursors.items():
            try:
                self._replay.acknowledge(source, subscription, cursor)
            except StreamBroken as error:
                # A cursor of a timeline that is over is of no use to anyone.
                _log.log(
                    logging.WARNING if error.needs_help else logging.DEBUG,
                    "%s: its place was not told: %s",
                    subscription,
                    error,
                )
                if not error.needs_help:
                    failed = True
                    with self._changed:
                        self._cursors.setdefault((source, subscription), cursor)
        return failed
