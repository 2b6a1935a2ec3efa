"""What timers do: expiry by time, contacts that wait for a plugin, sizes."""

from __future__ import annotations

import time
from collections.abc import Callable

from services.segmentation.context import Service
from services.segmentation.store import locks, membership, segments, waiting
from services.segmentation.usecases.evaluation import evaluate

BATCH = 500
RUN_SECONDS = 30.0


def expire(service: Service, *, batch: int = BATCH, run_seconds: float = RUN_SECONDS) -> int:
    """Evaluate the contacts whose memberships time may have changed; returns how many.

    Goes on until none is due or the run has lasted long enough; the next run takes the rest.
    """
    return _repeat(lambda: _expire_some(service, batch), batch, run_seconds)


def _expire_some(service: Service, batch: int) -> int:
    with service.db.transaction() as connection:
        locks.share_membership(connection)
        # One time for the whole batch: who is due is evaluated for the time at which it is due.
        now = service.clock.now()
        due = locks.lock_due(connection, now, batch)
        evaluate(service, connection, due, now=now, historical=False)
        membership.clear_strangers(connection, due)
        return len(due)


def retry_waiting(service: Service, *, batch: int = BATCH, run_seconds: float = RUN_SECONDS) -> int:
    """Evaluate the contacts for which a plugin failed before; returns how many could be. Stops when it fails again."""
    with service.db.read() as connection:
        if not waiting.any_left(connection):
            return 0
    done = 0
    for historical in (False, True):
        done += _repeat(lambda past=historical: _retry_some(service, batch, past), batch, run_seconds)  # type: ignore[misc]
    with service.db.transaction() as connection:
        locks.own_membership(connection)
        if not waiting.any_left(connection):
            segments.resume(connection)
    return done


def _retry_some(service: Service, batch: int, historical: bool) -> int:
    with service.db.transaction() as connection:
        locks.share_membership(connection)
        contacts = locks.lock_stale(connection, batch, historical)
        now = service.clock.now()
        if not evaluate(service, connection, contacts, now=now, historical=historical, retry=True):
            return 0
        # Rules may have changed meanwhile, so that none calls a plugin any more.
        waiting.remove(connection, contacts)
        return len(contacts)


def _repeat(step: Callable[[], int], batch: int, run_seconds: float) -> int:
    until = time.monotonic() + run_seconds
    done = 0
    while True:
        count = step()
        done += count
        if count < batch or time.monotonic() >= until:
            return done


def fold_sizes(service: Service) -> None:
    """Sum up the rows that make up the sizes of segments."""
    with service.db.transaction() as connection:
        membership.fold_sizes(connection)
