"""Recovery of what dead senders had in hand."""

from __future__ import annotations

from services.campaign.store import claims, coupons, ledger
from services.kit import log
from services.kit.runtime import Runtime

_log = log.get_logger("upkeep")


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
        planned += again
        unknown += lost
    with runtime.db.transaction() as connection:
        coupons.release_ended(connection)
    return planned, unknown
