"""The relay: gives committed events their positions, and forgets the old ones.

One runs per service, in its worker process, under an advisory lock held by the connection that does the work:
a relay that loses its connection loses its right with it.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from datetime import timedelta

import sqlalchemy as sa
from sqlalchemy import Connection, Engine

from services.kit.clock import Clock
from services.kit.events import store
from services.kit.locks import lock_key
from services.kit.tables import KitTables

_log = logging.getLogger(__name__)

FASTEST, SLOWEST, STANDBY = 0.02, 0.25, 1.0
"""Seconds between looks at the outbox: after events came, when none come, and while another relay works."""

BATCH = 5_000
PURGE_BATCH = 10_000


class Relay:
    """Order the events of one service in a thread of its own.

    retention_days: events older than this are deleted once every subscription has passed them; a subscription
    that did not move for as long is taken for abandoned and holds nothing back. on_positions: called in the relay's
    thread after events got their positions; must not block.
    """

    def __init__(
        self,
        engine: Engine,
        kit: KitTables,
        clock: Clock,
        *,
        retention_days: int,
        purge_seconds: float = 60.0,
        on_positions: Callable[[], None] = lambda: None,
    ) -> None:
        self._engine = engine
        self._kit = kit
        self._clock = clock
        self._retention = timedelta(days=retention_days)
        self._purge_seconds = purge_seconds
        self._on_positions = on_positions
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None
        self._seen: dict[str, int] = {}

    def start(self) -> None:
        """Start the thread."""
        self._thread = threading.Thread(target=self._run, name="relay", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Stop the thread and wait for it; events written later wait for the next relay."""
        self._stop.set()
        if self._thread is not None:
            self._thread.join()

    def _run(self) -> None:
        delay = FASTEST
        while not self._stop.wait(delay):
            try:
                with self._engine.connect() as connection:
                    self._work(connection)
                delay = FASTEST
            except Exception as error:
                # Whatever it was (a restarted server, a full disk), the events are safe and nobody else will
                # relay them.
                delay = min(max(delay * 2, 0.2), 5.0)
                _log.warning("relay: %s; trying again in %.1f s", error, delay)

    def _work(self, connection: Connection) -> None:
        """Relay for as long as the connection holds; returns when asked to stop."""
        locked = False
        delay = FASTEST
        next_purge = time.monotonic() + self._purge_seconds
        try:
            while not self._stop.is_set():
                if not locked:
                    locked = self._try_lock(connection)
                    if not locked:
                        self._stop.wait(STANDBY)
                        continue
                    with connection.begin():
                        store.ensure_stream(connection, self._kit)
                with connection.begin():
                    given = store.assign_positions(connection, self._kit, BATCH)
                if given:
                    self._on_positions()
                if time.monotonic() >= next_purge:
                    self._purge(connection)
                    next_purge = time.monotonic() + self._purge_seconds
                if given == BATCH:
                    continue
                delay = FASTEST if given else min(delay * 1.5, SLOWEST)
                self._stop.wait(delay)
        finally:
            if not connection.closed:
                # The lock belongs to the session, which would live on in the pool.
                connection.invalidate()

    def _try_lock(self, connection: Connection) -> bool:
        with connection.begin():
            query = sa.select(sa.func.pg_try_advisory_lock(lock_key("relay")))
            return bool(connection.execute(query).scalar_one())

    def _purge(self, connection: Connection) -> None:
        before = self._clock.now() - self._retention
        with connection.begin():
            cursors = store.list_cursors(connection, self._kit)
            head = store.read_head(connection, self._kit)
        # The business clock may jump (a demo, a test): a subscription counts as abandoned only when it did
        # not move between two looks, too.
        abandoned = {
            c.name for c in cursors if c.update_time < before and self._seen.get(c.name) == c.position
        }
        self._seen = {c.name: c.position for c in cursors}
        held = [c.position for c in cursors if c.name not in abandoned and c.timeline == head.timeline]
        until = min(held, default=head.position)
        while not self._stop.is_set():
            with connection.begin():
                if (
                    store.purge(connection, self._kit, before=before, until=until, limit=PURGE_BATCH)
                    < PURGE_BATCH
                ):
                    return
