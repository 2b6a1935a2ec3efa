"""The operations that wait for a worker process, read once for all of its kinds: each is looked for all the time."""

from __future__ import annotations

import time
from collections.abc import Collection
from uuid import UUID

from eventlet.semaphore import Semaphore

from services.kit.bus.native import native
from services.kit.db import Database
from services.kit.operations import store
from services.kit.tables import KitTables

POLL_SECONDS = 0.25
"""How often each kind is looked for."""

_MOST = 1000
"""Of a kind, at one look: more than go on at the same time, as those that wait are among them."""


class Pending:
    """Share what one look at the table of operations has found among those who look at the same time."""

    def __init__(self, db: Database, kit: KitTables, kinds: Collection[str]) -> None:
        self._db = db
        self._kinds = sorted(kinds)
        # Built once: that takes longer than to run it.
        self._query = store.pending(kit, self._kinds, _MOST)
        self._reading = Semaphore()
        self._read_at = float("-inf")
        self._found: dict[str, list[UUID]] = {}

    def of(self, kind: str) -> list[UUID]:
        """Return the operations of a kind that have not ended, oldest first, as of half a look ago at the most.

        For greenlets of the hub. Raises a database error when the database is away.
        """
        with self._reading:
            if time.monotonic() - self._read_at > POLL_SECONDS / 2:
                self._found = native(self._read)
                self._read_at = time.monotonic()
            return self._found[kind]

    def _read(self) -> dict[str, list[UUID]]:
        found: dict[str, list[UUID]] = {kind: [] for kind in self._kinds}
        with self._db.read() as connection:
            for kind, key in connection.execute(self._query):
                found[kind].append(key)
        return found
