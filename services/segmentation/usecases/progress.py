"""How long work tells how far it is, and ends when it is to stop."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import Any, Protocol, TypeVar

from sqlalchemy import Connection

T = TypeVar("T")


class Watch(Protocol):
    """Let work that waits for the database or for a plugin end as soon as it is to stop, and tell how far it is."""

    def interruptible(self, connection: Connection) -> AbstractContextManager[None]:
        """Cancel what the server does for a connection within the block when a stop is asked for, and raise."""
        ...

    def unless_stopped(self, work: Callable[[], T]) -> T:
        """Return or raise what a call does, or raise at once when a stop is asked for."""
        ...

    def more(self, contacts: int) -> None:
        """Count on so many contacts more."""
        ...

    def add(self, contacts: int, stage: str) -> None:
        """Show that so many contacts more were looked at; raises when a stop was asked for."""
        ...


class Progress(Protocol):
    """Be the operation that work belongs to; services.kit.bus.OperationContext is one."""

    state: dict[str, Any]

    def interruptible(self, connection: Connection) -> AbstractContextManager[None]:
        """Do as `Watch.interruptible`."""
        ...

    def unless_stopped(self, work: Callable[[], T]) -> T:
        """Do as `Watch.unless_stopped`."""
        ...

    def checkpoint(
        self,
        connection: Connection,
        state: dict[str, Any] | None = None,
        completed: int | None = None,
        total: int | None = None,
        stage: str | None = None,
    ) -> None:
        """Store how far the work is."""
        ...

    def tell(self, completed: int, total: int, stage: str) -> None:
        """Show how far the work is that is not stored yet; raises when a stop was asked for."""
        ...

    def raise_if_cancelled(self) -> None:
        """Raise when a stop was asked for."""
        ...


class Unwatched:
    """Watch nothing: for work that has a deadline of its own."""

    def interruptible(self, connection: Connection) -> AbstractContextManager[None]:
        """Do nothing."""
        return nullcontext()

    def unless_stopped(self, work: Callable[[], T]) -> T:
        """Call it."""
        return work()

    def more(self, contacts: int) -> None:
        """Do nothing."""

    def add(self, contacts: int, stage: str) -> None:
        """Do nothing."""


UNWATCHED: Watch = Unwatched()


class Meter:
    """Watch for an operation, and count the contacts that it looks at, in so many sweeps.

    Whom a plugin is asked about counts once more. done: what earlier attempts counted.
    """

    def __init__(self, operation: Progress, done: int = 0) -> None:
        self.operation = operation
        self.done = done
        self.total = done
        self.subject = ""
        self._end = done

    def expect(self, contacts: int) -> None:
        """Count on a sweep over so many contacts that will begin later."""
        self.total += contacts

    def begin(self, contacts: int, subject: str) -> None:
        """Begin a sweep that was expected. subject: what it is of."""
        self.subject = subject
        self._end = self.done + contacts

    def end(self) -> None:
        """End the sweep at hand, however far it came."""
        self.done = self._end

    def more(self, contacts: int) -> None:
        """Count on so many contacts more in the sweep at hand."""
        self._end += contacts
        self.total += contacts

    def count(self, contacts: int) -> None:
        """Count so many contacts more that were looked at."""
        self.done = min(self.done + contacts, self._end)

    def add(self, contacts: int, stage: str) -> None:
        """Count, and show it; raises when a stop was asked for."""
        self.count(contacts)
        self.operation.tell(self.done, self.total, f"{self.subject}: {stage}")

    def interruptible(self, connection: Connection) -> AbstractContextManager[None]:
        """Do as the operation does."""
        return self.operation.interruptible(connection)

    def unless_stopped(self, work: Callable[[], T]) -> T:
        """Do as the operation does."""
        return self.operation.unless_stopped(work)
