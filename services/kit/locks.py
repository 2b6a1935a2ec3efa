"""Locks that span the processes of a service: session advisory locks of its database.

They end with the session, so a killed process frees them at once; no clock is involved.
"""

from __future__ import annotations

import hashlib
import logging
import threading

import sqlalchemy as sa
from sqlalchemy import Connection, Engine

_log = logging.getLogger(__name__)


def lock_key(name: str) -> int:
    """Return the 64-bit advisory lock key of a lock's name."""
    digest = hashlib.sha256(f"rapport:{name}".encode()).digest()
    return int.from_bytes(digest[:8], "big", signed=True)


class Locks:
    """Hold any number of named locks on one connection, for all threads of a process.

    A lost connection loses all locks: `held` tells so after the next check, at most `check_seconds` later.
    """

    def __init__(self, engine: Engine, *, check_seconds: float = 1.0) -> None:
        self._engine = engine
        self._check_seconds = check_seconds
        self._mutex = threading.Lock()
        self._connection: Connection | None = None
        self._held: set[str] = set()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="locks", daemon=True)
        self._thread.start()

    def acquire(self, name: str) -> bool:
        """Take a lock if nobody else has it; True as well when this object holds it already.

        Raises a database error when the database is away.
        """
        with self._mutex:
            if name in self._held:
                return True
            if self._execute(sa.func.pg_try_advisory_lock(lock_key(name))):
                self._held.add(name)
                return True
            return False

    def held(self, name: str) -> bool:
        """Tell whether this object holds a lock, as far as is known."""
        return name in self._held

    def release(self, name: str) -> None:
        """Give a lock back; nothing happens when it was lost meanwhile."""
        with self._mutex:
            if name in self._held:
                self._held.discard(name)
                try:
                    self._execute(sa.func.pg_advisory_unlock(lock_key(name)))
                except sa.exc.DBAPIError:
                    _log.debug("lock %s went with its connection", name)

    def close(self) -> None:
        """Give all locks back and close the connection."""
        self._stop.set()
        self._thread.join()
        with self._mutex:
            self._drop()

    def _execute(self, function: sa.ColumnElement[bool]) -> bool:
        try:
            if self._connection is None:
                options = self._engine.execution_options(isolation_level="AUTOCOMMIT")
                self._connection = options.connect()
            return bool(self._connection.execute(sa.select(function)).scalar_one())
        except sa.exc.DBAPIError:
            self._drop()
            raise

    def _drop(self) -> None:
        if self._held:
            _log.info("locks given up: %s", ", ".join(sorted(self._held)))
        self._held.clear()
        if self._connection is not None:
            # Never back into the pool: session locks would survive there.
            self._connection.invalidate()
            self._connection.close()
            self._connection = None

    def _watch(self) -> None:
        while not self._stop.wait(self._check_seconds):
            with self._mutex:
                if self._connection is None:
                    continue
                try:
                    self._execute(sa.true())
                except sa.exc.DBAPIError as error:
                    _log.warning("the connection that held the locks is gone: %s", error)
