"""Recovery of what dead senders had in hand, and deletion of what limits need no more."""

from __future__ import annotations

from collections.abc import Sequence
from uuid import UUID

from services.campaign.domain.deaths import FAULT, GIVEN_UP
from services.campaign.domain.ledger import FAILED
from services.campaign.store import caps, circuits, coupons, ledger, policies, rates, recovering
from services.campaign.store.claims import Claim
from services.campaign.store.recovering import Recovered
from services.campaign.usecases import metrics
from services.campaign.usecases.events import tell_finished
from services.kit import log
from services.kit.names import format_name
from services.kit.runtime import Runtime

_log = log.get_logger("upkeep")
_AT_ONCE = 10_000


def recover_messages(runtime: Runtime) -> tuple[int, int, int]:
    """Apply the rules of a crash to the messages of dead senders, and free the coupons of messages that ended.

    Returns how many are planned again, how many are unknown now, and how many failed. Any number of processes may do it
    at once.
    """
    planned = unknown = failed = 0
    with runtime.db.read() as connection:
        senders = recovering.senders_with_messages(connection)
    for sender in senders:
        now = runtime.clock.now()
        with runtime.db.transaction() as connection:
            found = recovering.try_recover(connection, sender, now)
            tell_finished(connection, [(claim, FAILED, GIVEN_UP) for claim in found.failed], now)
            if found.planned:
                ledger.notify(connection)
        for claim in found.failed:
            _log.error("a message ended its senders", message=format_name("messages", claim.id), why=GIVEN_UP)
        if found != Recovered():
            _log.warning(
                "recovered the messages of a dead sender",
                sender=str(sender),
                planned=found.planned,
                unknown=found.unknown,
                failed=len(found.failed),
            )
            metrics.note_recovered(found.planned, found.unknown, len(found.failed))
        planned += found.planned
        unknown += found.unknown
        failed += len(found.failed)
    with runtime.db.transaction() as connection:
        coupons.release_ended(connection)
    return planned, unknown, failed


def put_aside(runtime: Runtime, sender: UUID, several: Sequence[Claim], error: Exception) -> None:
    """Part messages that could not be made ready together, as one of them may be why; the one that is fails at last.

    error: what nobody expected; it is told in the reason, without what it may quote of people.
    """
    fault = f"{FAULT}: {log.safe_summary(error)}"[:500]
    now = runtime.clock.now()
    with runtime.db.transaction() as connection:
        found = recovering.put_aside(connection, sender, [claim.id for claim in several], fault, now)
        tell_finished(connection, [(claim, FAILED, fault) for claim in found.failed], now)
    for claim in found.failed:
        _log.error("a message cannot be made ready", message=format_name("messages", claim.id), why=fault)


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
