"""How long statements of rules may take.

What a rule costs depends on the data as much as on the rule: lists inside one another take the number of a contact's
events to the power of their depth. So the time itself is bounded, by the server.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy import Connection
from sqlalchemy.exc import DBAPIError

_CANCELED = "57014"


class TooSlow(Exception):
    """Report that a statement of rules took longer than it may. seconds: how long that is."""

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        super().__init__(f"took longer than {seconds:g} s")


class Budget:
    """Bound how long several statements may take together, in seconds; None for as long as they take."""

    def __init__(self, seconds: float | None) -> None:
        self.seconds = seconds
        self._left = seconds

    @contextmanager
    def spent_on(self, connection: Connection) -> Iterator[None]:
        """Let the one statement of the block take what is left; raises TooSlow as `within` does."""
        if self.seconds is None or self._left is None:
            yield
            return
        started = time.monotonic()
        try:
            with within(connection, max(self._left, 0.001)):
                yield
        except TooSlow as error:
            raise TooSlow(self.seconds) from error
        self._left -= time.monotonic() - started


UNBOUNDED = Budget(None)


@contextmanager
def within(connection: Connection, seconds: float | None) -> Iterator[None]:
    """Let each statement of the block take at most so long, None for as long as it takes; raises TooSlow.

    What the block did is then rolled back, and the transaction can go on; after any other failure it can not. Locks
    must be taken before: waiting for them counts.
    """
    if seconds is None:
        yield
        return
    started = time.monotonic()
    # Two commands at a time: this is around every batch.
    limit = max(1, round(seconds * 1000))
    connection.exec_driver_sql(f"SAVEPOINT bounded; SET LOCAL statement_timeout = {limit}")
    try:
        yield
    except DBAPIError as error:
        # Somebody may have cancelled the statement by hand, which says nothing of the rule.
        if getattr(error.orig, "sqlstate", None) == _CANCELED and time.monotonic() - started >= seconds:
            # The limit goes with what was done.
            connection.exec_driver_sql("ROLLBACK TO SAVEPOINT bounded; RELEASE SAVEPOINT bounded")
            raise TooSlow(seconds) from error
        raise
    connection.exec_driver_sql("SET LOCAL statement_timeout TO DEFAULT; RELEASE SAVEPOINT bounded")
