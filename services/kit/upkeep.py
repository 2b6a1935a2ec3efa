"""Deletion of what a service's kit tables no longer need: ended operations and remembered answers."""

from __future__ import annotations

import logging
import threading
from datetime import timedelta

import sqlalchemy as sa

from services.kit.clock import Clock
from services.kit.db import Database
from services.kit.locks import Locks
from services.kit.log import safe_summary
from services.kit.operations import store as operations
from services.kit.tables import KitTables

_log = logging.getLogger(__name__)

EVERY_SECONDS = 600.0
LIMIT = 5_000
_LOCK = "upkeep"


class Upkeep:
    """Delete old rows now and then, in one process of the service at a time, in a thread of its own."""

    def __init__(
        self, db: Database, kit: KitTables, clock: Clock, locks: Locks, *, retention_days: int
    ) -> None:
        self._db = db
        self._kit = kit
        self._clock = clock
        self._locks = locks
        self._retention = timedelta(days=retention_days)
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="upkeep", daemon=True)

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def stop(self) -> None:
        """Stop the thread and wait for it."""
        self._stop.set()
        if self._thread.is_alive():
            self._thread.join()

    def run_once(self) -> int:
        """Delete what is older than the retention; return how many rows."""
        before = self._clock.now() - self._retention
        with self._db.transaction() as connection:
            deleted = operations.forget(connection, self._kit, before, LIMIT)
        log = self._kit.request_log
        with self._db.transaction() as connection:
            old = (
                sa.select(log.c.request_id, log.c.request_type).where(log.c.create_time < before).limit(LIMIT)
            )
            key = sa.tuple_(log.c.request_id, log.c.request_type)
            deleted += connection.execute(sa.delete(log).where(key.in_(old))).rowcount
        return deleted

    def _run(self) -> None:
        while not self._stop.wait(EVERY_SECONDS):
            try:
                if self._locks.acquire(_LOCK):
                    while self.run_once() and not self._stop.is_set():
                        pass
            except Exception as error:
                _log.warning("old rows stay for now: %s", safe_summary(error))
