"""The ledger's rules: states, who may be written to, and when to try again."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from services.campaign.domain.ids import TRANSACTIONAL

PLANNED, CLAIMED, SENDING = "planned", "claimed", "sending"
SENT, FAILED, SUPPRESSED, UNKNOWN, CANCELLED = "sent", "failed", "suppressed", "unknown", "cancelled"
STATES = (PLANNED, CLAIMED, SENDING, SENT, FAILED, SUPPRESSED, UNKNOWN, CANCELLED)
FINAL = (SENT, FAILED, SUPPRESSED, CANCELLED)
NO_ENTRY = UUID(int=0)

CAMPAIGNS, JOURNEYS, REQUESTS = "campaigns", "journeys", "requests"

# Ten attempts, doubling from a minute up to four hours: a server that is away for a day is outlasted.
MAX_ATTEMPTS = 10
FIRST_DELAY, LONGEST_DELAY = timedelta(minutes=1), timedelta(hours=4)


@dataclass(frozen=True, slots=True, kw_only=True)
class NewMessage:
    """Describe a message to be planned. content: of a single message; content_hash: of its request."""

    id: UUID
    origin: str
    lane: str
    contact_id: UUID | None
    channel: str
    topic: str
    entry_id: UUID = NO_ENTRY
    step: int = 0
    template_id: str = ""
    coupon_pool_id: str = ""
    subject: str = ""
    content: Mapping[str, Any] | None = None
    content_hash: bytes | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Message:
    """Hold a row of the ledger as callers see it."""

    id: UUID
    origin: str
    contact_id: UUID | None
    channel: str
    topic: str
    state: str
    reason: str
    attempt_count: int
    coupon_code: str
    subject: str
    create_time: datetime
    send_time: datetime | None


@dataclass(slots=True)
class Counts:
    """Count the messages of an origin by state; the suppressed ones, and those planned that wait, by reason."""

    by_state: dict[str, int] = field(default_factory=dict)
    by_reason: dict[str, int] = field(default_factory=dict)
    waiting_by_reason: dict[str, int] = field(default_factory=dict)
    duplicates: int = 0

    @property
    def audience(self) -> int:
        """Return how many there are."""
        return sum(self.by_state.values())

    def of(self, *states: str) -> int:
        """Return how many are in any of the states."""
        return sum(self.by_state.get(state, 0) for state in states)

    @property
    def open(self) -> int:
        """Return how many are planned or in a sender's hand."""
        return self.of(PLANNED, CLAIMED, SENDING)


def consent_problem(topic: str, consent: str) -> str:
    """Return why a contact must not be written to on a topic, or "".

    consent: `granted`, `denied` or "" when it was never given. "transactional" needs none, but heeds a refusal.
    """
    if consent == "denied":
        return "CONSENT_DENIED"
    return "" if topic == TRANSACTIONAL or consent == "granted" else "NO_CONSENT"


def normalise_address(kind: str, address: str) -> str:
    """Return an address as it is compared: without regard to case."""
    return " ".join(address.split()).casefold()


def next_delay(attempts: int, jitter: Callable[[float, float], float] = random.uniform) -> timedelta:
    """Return how long to wait after the given number of attempts (at least 1): exponential, ± a quarter."""
    factor: int = 1 << min(attempts - 1, 20)
    delay = min(FIRST_DELAY * factor, LONGEST_DELAY)
    return delay * jitter(0.75, 1.25)


def lane_of(origin: str) -> str:
    """Return what shares the senders fairly: each campaign, each journey, and all single messages together."""
    return REQUESTS if origin.startswith(f"{REQUESTS}/") else origin
