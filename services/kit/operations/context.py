"""What a method that does a long-running operation works with."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from typing import Any, TypeVar

from google.protobuf.message import Message
from sqlalchemy import Connection

from services.kit.db import Database
from services.kit.errors import Cancelled
from services.kit.events.payload import parse
from services.kit.names import format_name
from services.kit.operations import interrupts, store
from services.kit.tables import KitTables

CHECK_SECONDS = 0.5
TELL_SECONDS = 0.5
T = TypeVar("T")


class OperationLost(Exception):
    """Report that another process does the operation now: end without any further write."""


class OperationPaused(Exception):
    """Report that this process stops: the operation goes on elsewhere or later, from its last checkpoint."""


class OperationWaits(Exception):
    """Report that there is nothing to do for so many seconds; others have its place until then.

    It goes on from its last checkpoint, in a new attempt that counts as no failure.
    """

    def __init__(self, seconds: float) -> None:
        super().__init__(f"goes on in {seconds:.1f} s")
        self.seconds = seconds


class OperationContext:
    """Give one attempt of an operation its request, content and checkpoints.

    name: `operations/{uuid}`; request: the typed request; state: what the last checkpoint stored, empty at
    first; principal: who asked for it.
    """

    def __init__(
        self,
        db: Database,
        kit: KitTables,
        claimed: store.Claimed,
        stopping: Callable[[], bool] = lambda: False,
    ) -> None:
        self._db = db
        self._kit = kit
        self._claimed = claimed
        self._stopping = stopping
        self._cancelled = claimed.cancel_requested
        self._next_check = 0.0
        self._next_tell, self._told = 0.0, ""
        self._warned = claimed.cancel_requested
        self.name = format_name("operations", claimed.id)
        self.kind = claimed.kind
        self.principal = claimed.principal
        self.state: dict[str, Any] = dict(claimed.state)
        self.request: Message = parse(claimed.request_type, claimed.request, self.name)

    @property
    def resumed(self) -> bool:
        """Tell whether an earlier attempt stored a checkpoint."""
        return bool(self.state)

    def chunks(self, start: int = 0) -> Iterator[bytes]:
        """Yield the uploaded content from the piece number `start` on, 1 MiB each."""
        index = start
        while True:
            with self._db.read() as connection:
                data = store.read_chunk(connection, self._kit, self._claimed.id, index)
            if data is None:
                return
            yield data
            index += 1

    def checkpoint(
        self,
        connection: Connection,
        state: dict[str, Any] | None = None,
        completed: int | None = None,
        total: int | None = None,
        stage: str | None = None,
    ) -> None:
        """Store how far the work is, in the caller's transaction, which must hold the work itself.

        state: replaces the stored one (JSON) when given; a resumed attempt finds it in `state`. Raises
        OperationLost when another process has taken over, Cancelled or OperationPaused when that was known at
        the last checkpoint and `raise_if_cancelled` was not called since: the transaction then rolls back.
        """
        if self._warned:
            self._raise()
        given: dict[str, object] = {"state": state, "completed": completed, "total": total, "stage": stage}
        values = {key: value for key, value in given.items() if value is not None}
        answer = store.checkpoint(connection, self._kit, self._claimed.id, self._claimed.attempt, values)
        if answer is None:
            raise self._lost()
        self._cancelled = answer
        self._warned = self._cancelled or self._stopping()
        if state is not None:
            self.state = dict(state)

    def tell(self, completed: int, total: int, stage: str) -> None:
        """Show how far the work is that no transaction has committed yet; a resumed attempt knows nothing of it.

        Call it as often as you like, but not after a checkpoint in a transaction that goes on: it is written when the
        stage is another one, and twice a second at the most, in a transaction of its own. Raises as raise_if_cancelled
        does.
        """
        now = time.monotonic()
        if now >= self._next_tell or stage != self._told:
            self._next_tell, self._told = now + TELL_SECONDS, stage
            values = {"completed": completed, "total": total, "stage": stage}
            with self._db.transaction() as connection:
                answer = store.tell(connection, self._kit, self._claimed.id, self._claimed.attempt, values)
            if answer is None:
                raise self._lost()
            self._cancelled = answer
        self._raise()

    def interruptible(self, connection: Connection) -> AbstractContextManager[None]:
        """Cancel what the server does for a connection within the block as soon as a stop is asked for.

        Raises as raise_if_cancelled does, at the end of the block at the latest. The transaction must then be rolled
        back, as one around the block is.
        """
        stops = (Cancelled, OperationPaused, OperationLost)
        return interrupts.over(self._db, self.raise_if_cancelled, connection, stops)

    def unless_stopped(self, work: Callable[[], T]) -> T:
        """Return or raise what a call does, or raise as raise_if_cancelled does as soon as a stop is asked for.

        The call then runs out in a thread of its own, unheard.
        """
        return interrupts.unless_stopped(self.raise_if_cancelled, work)

    def raise_if_cancelled(self) -> None:
        """Raise Cancelled when a stop was asked for, OperationPaused when the process stops.

        Call it between batches, as often as you like: the database is asked twice a second at the most.
        """
        now = time.monotonic()
        if not self._cancelled and now >= self._next_check:
            self._next_check = now + CHECK_SECONDS
            with self._db.read() as connection:
                answer = store.is_ours(connection, self._kit, self._claimed.id, self._claimed.attempt)
            if answer is None:
                raise self._lost()
            self._cancelled = answer
        self._raise()

    def _lost(self) -> OperationLost:
        return OperationLost(f"{self.name} was taken over by another process")

    def _raise(self) -> None:
        if self._cancelled:
            raise Cancelled(f"{self.name} was cancelled on request; what it had done stays done")
        if self._stopping():
            raise OperationPaused(self.name)
