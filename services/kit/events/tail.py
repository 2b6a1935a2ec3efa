"""The tail of a stream: one thread per process that learns of new positions and wakes the streams."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable

import sqlalchemy as sa
from sqlalchemy import Connection, Engine

from services.kit.events import store
from services.kit.tables import KitTables

_log = logging.getLogger(__name__)

POLL_SECONDS = 1.0
"""How often the head is read although no notification came (it may be lost with its connection)."""


class Tail:
    """Follow the head of one service's stream.

    each_look: called whenever the head was read, every second at the latest.
    """

    def __init__(self, engine: Engine, kit: KitTables, each_look: Callable[[], None] = lambda: None) -> None:
        self._engine = engine
        self._kit = kit
        self._each_look = each_look
        self._changed = threading.Condition()
        self._head: store.Head | None = None
        self._stopping = False
        self._idle = threading.Event()
        self._thread: threading.Thread | None = None

    @property
    def stopping(self) -> bool:
        """Tell whether the streams must end."""
        return self._stopping

    @property
    def head(self) -> store.Head | None:
        """Return the newest head that was seen, or None before the first."""
        return self._head

    def start(self) -> None:
        """Start the thread."""
        self._thread = threading.Thread(target=self._run, name="event-tail", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """End all streams and the thread."""
        with self._changed:
            self._stopping = True
            self._changed.notify_all()
        self._idle.set()
        if self._thread is not None:
            self._thread.join()

    def wake(self) -> None:
        """Wake the streams, so that one whose caller has gone notices."""
        with self._changed:
            self._changed.notify_all()

    def wait_beyond(self, position: int, timeout: float) -> store.Head | None:
        """Wait until the head lies beyond a position; return the head as it is then, or at the time-out.

        Returns early when woken: the caller looks at its own reasons to end.
        """
        with self._changed:
            if not self._stopping and (self._head is None or self._head.position <= position):
                self._changed.wait(timeout)
            return self._head

    def _run(self) -> None:
        delay = 0.2
        while not self._stopping:
            try:
                with self._engine.execution_options(isolation_level="AUTOCOMMIT").connect() as connection:
                    delay = 0.2
                    self._follow(connection)
            except Exception as error:
                # A restarted server or an unmigrated database: the streams wait meanwhile.
                _log.warning("event tail: %s; trying again in %.1f s", error, delay)
                self._idle.wait(delay)
                delay = min(delay * 2, 5.0)

    def _follow(self, connection: Connection) -> None:
        try:
            store.ensure_stream(connection, self._kit)
            connection.execute(sa.text(f"LISTEN {store.CHANNEL}"))
            driver = connection.connection.driver_connection
            assert driver is not None
            while not self._stopping:
                self._publish(store.read_head(connection, self._kit))
                self._each_look()
                waited = 0.0
                # Short waits, so that a stop is noticed soon.
                while waited < POLL_SECONDS and not self._stopping:
                    if list(driver.notifies(timeout=0.25, stop_after=1)):
                        break
                    waited += 0.25
        finally:
            # A listening session must not return into the pool.
            connection.invalidate()

    def _publish(self, head: store.Head) -> None:
        with self._changed:
            if head != self._head:
                self._head = head
                self._changed.notify_all()
