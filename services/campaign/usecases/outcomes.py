"""What an answer of a channel means for a message: sent, failed, unknown, or to be tried again and when."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

from rapport_sdk import Outcome, SendResult

from services.campaign.domain.ledger import (
    FAILED,
    LONGEST_DELAY,
    MAX_ATTEMPTS,
    PLANNED,
    SENT,
    UNKNOWN,
    next_delay,
)
from services.campaign.store.claims import Result
from services.campaign.usecases.preparing import Ready
from services.campaign.usecases.throttle import is_untried
from services.kit.log import safe_text
from services.kit.plugins import OpenChannel


def result_of(channel: OpenChannel, item: Ready, outcome: SendResult | None, now: datetime) -> Result:
    """Return what is written down; outcome: None for a message that stayed, as its channel took too long."""
    claim = item.hand_over.claim
    if outcome is None:
        return Result(claim=claim, state=PLANNED, due_time=now, tried=False)
    reason = safe_text(outcome.reason)[:500]
    attempts = claim.attempt_count + 1
    common: Mapping[str, Any] = {"claim": claim, "reason": reason, "due_time": now}
    match outcome.outcome:
        case Outcome.ACCEPTED:
            return Result(
                claim=claim,
                state=SENT,
                reason=item.note,
                due_time=now,
                send_time=now,
                provider_id=outcome.provider_id[:500],
            )
        case Outcome.PERMANENT:
            address = channel.capabilities.address_kind, item.hand_over.address
            bad = address if outcome.bad_address and item.hand_over.address else None
            return Result(**common, state=FAILED, bad_address=bad)
        case Outcome.UNKNOWN if not (channel.capabilities.idempotent and item.again):
            return Result(**common, state=UNKNOWN, send_time=now, provider_id=outcome.provider_id[:500])
        case Outcome.TEMPORARY if is_untried(outcome):
            return Result(**common, state=PLANNED, tried=False)
    if attempts >= MAX_ATTEMPTS:
        return Result(
            claim=claim,
            state=FAILED,
            reason=f"{reason} (given up after {attempts} attempts)",
            due_time=now,
        )
    delay = next_delay(attempts)
    if outcome.retry_after is not None:
        # What the provider asks for, as long as it is no more than the longest of our own.
        delay = min(max(outcome.retry_after, timedelta(0)), LONGEST_DELAY)
    return Result(claim=claim, state=PLANNED, reason=reason, due_time=now + delay)
