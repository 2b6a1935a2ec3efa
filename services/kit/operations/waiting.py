"""Waiting for operations to end: one poll for all who wait in a process, none when nobody does."""

from __future__ import annotations

import logging
import threading
import time
from collections import Counter
from uuid import UUID

import grpc

from services.kit.db import Database
from services.kit.log import safe_summary
from services.kit.operations import store
from services.kit.tables import KitTables

_log = logging.getLogger(__name__)

POLL_SECONDS = 0.1


class DoneWatch:
    """Wake callers when their operation has ended."""

    def __init__(self, db: Database, kit: KitTables) -> None:
        self._db = db
        self._kit = kit
        self._changed = threading.Condition()
        self._wanted: Counter[UUID] = Counter()
        self._done: set[UUID] = set()
        self._stopping = False
        self._thread: threading.Thread | None = None

    def wait(self, key: UUID, seconds: float, context: grpc.ServicerContext | None = None) -> bool:
        """Wait at most so long for an operation to end, less when the caller goes; returns whether it did."""
        if context is not None:
            context.add_callback(self._wake)
        until = time.monotonic() + seconds
        with self._changed:
            self._wanted[key] += 1
            if self._thread is None and not self._stopping:
                self._thread = threading.Thread(target=self._run, name="operation-watch", daemon=True)
                self._thread.start()
            self._changed.notify_all()
            try:
                while key not in self._done and not self._stopping:
                    left = until - time.monotonic()
                    if left <= 0 or (context is not None and not context.is_active()):
                        break
                    self._changed.wait(left)
                return key in self._done
            finally:
                self._wanted[key] -= 1
                if not self._wanted[key]:
                    del self._wanted[key]
                    self._done.discard(key)

    def stop(self) -> None:
        """Wake all who wait and end the poll."""
        with self._changed:
            self._stopping = True
            self._changed.notify_all()
            thread = self._thread
        if thread is not None:
            thread.join()

    def _wake(self) -> None:
        with self._changed:
            self._changed.notify_all()

    def _run(self) -> None:
        while True:
            with self._changed:
                while not self._wanted and not self._stopping:
                    self._changed.wait()
                if self._stopping:
                    return
                wanted = set(self._wanted)
            try:
                with self._db.read() as connection:
                    done = store.find_done(connection, self._kit, wanted)
            except Exception as error:
                _log.warning("waiting for operations: %s", safe_summary(error))
                done = set()
            with self._changed:
                found = {key for key in done if key in self._wanted}
                if found:
                    self._done |= found
                    self._changed.notify_all()
                if not self._stopping:
                    self._pause()

    def _pause(self) -> None:
        # Holding the condition: a stop ends the pause, but so may a new waiter, whose notification must not
        # make the poll run faster.
        until = time.monotonic() + POLL_SECONDS
        while not self._stopping and (left := until - time.monotonic()) > 0:
            self._changed.wait(left)
