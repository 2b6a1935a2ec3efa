"""Recovery of what dead senders had in hand, and deletion of what limits need no more."""

from __future__ import annotations

from services.campaign.store import caps, circuits, claims, coupons, ledger, policies, rates
from services.campaign.usecases import metrics
from services.kit import log
from services.kit.runtime import Runtime

_log = log.get_logger("upkeep")
_AT_ONCE = 10_000


def recover_messages(runtime: Runtime) -> tuple[int, int]:
    """Apply the rules of a crash to the messages of dead senders, and free the coupons of messages that ended.

    Returns how many are planned again and how many are unknown now. Any number of processes may do it at once.
    """
    planned = unknown = 0
    with runtime.db.read() as connection:
        senders = claims.senders_with_messages(connection)
    for sender in senders:
        with runtime.db.transaction() as connection:
            again, lost = claims.try_recover(connection, sender)
            if again:
                ledger.notify(connection)
        if again or lost:
            _log.warning(
                "recovered the messages of a dead sender", sender=str(sender), planned=again, unknown=lost
            )
            metrics.note_recovered(again, lost)
        planned += again
        unknown += lost
    with runtime.db.transaction() as connection:
        coupons.release_ended(connection)
    return planned, unknown


def forget_places(runtime: Runtime) -> int:
    """Delete places that no frequency cap counts any more, idle buckets, and what dead senders told; how many places.

    Some thousand at a time. Any number of processes may do it at once.
    """
    with runtime.db.transaction() as connection:
        before = runtime.clock.now() - policies.load(connection).longest_period
        rates.forget_idle(connection)
        circuits.forget_dead(connection)
    total = 0
    while True:
        with runtime.db.transaction() as connection:
            count = caps.forget(connection, before, _AT_ONCE)
        total += count
        if count < _AT_ONCE:
            return total
