"""All sending held, as after a restore: what was sent after the backup is not in the ledger that came back.

While it is held everything is planned as ever, so that what the lost ledger had planned is planned again, and nothing
leaves. Whoever lifts the hold decides what becomes of messages that were due meanwhile.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from services.campaign.store import hold as store
from services.campaign.store import ledger
from services.kit.clock import Clock
from services.kit.db import Database
from services.kit.errors import FailedPrecondition

RESTORED = "RESTORED: it may have been sent after the backup was made"
_AT_ONCE = 10_000


@dataclass(frozen=True, slots=True)
class Waiting:
    """Say since when sending is held, how many messages are due, and what is yet to plan more of them, in words."""

    since: datetime
    due: int
    unplanned: list[str]


def hold(db: Database, now: datetime) -> None:
    """Let senders take nothing until somebody releases it."""
    with db.transaction() as connection:
        store.place(connection, RESTORED, now)


def look(db: Database, clock: Clock) -> Waiting:
    """Return what waits; raises FailedPrecondition (NOT_HELD)."""
    now = clock.now()
    with db.snapshot() as connection:
        found = store.get(connection)
        if found is None:
            raise FailedPrecondition("sending is not held, so there is nothing to release", reason="NOT_HELD")
        return Waiting(found.create_time, store.count_due(connection, now), store.unplanned(connection, now))


def release(db: Database, clock: Clock, *, send: bool) -> int:
    """Let senders go on and return how many messages are unknown now.

    send: what was due is sent. Otherwise it becomes `unknown`, which nobody sends but `ResolveMessage`.
    """
    doubted = 0
    while True:
        with db.transaction() as connection:
            some = 0 if send else store.doubt(connection, clock.now(), RESTORED, _AT_ONCE)
            doubted += some
            if some < _AT_ONCE:
                store.lift(connection)
                ledger.notify(connection)
                return doubted
