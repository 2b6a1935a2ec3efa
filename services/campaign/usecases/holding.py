"""Hours and caps at the moment of sending: which messages are held back, until when, and why."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from uuid import UUID

from sqlalchemy import Connection

from services.campaign.domain.decisions import Stay, stay_capped
from services.campaign.domain.ledger import PLANNED, SUPPRESSED
from services.campaign.domain.policies import Policies
from services.campaign.store import caps as store
from services.campaign.store.claims import Claim, Result
from services.kit.log import safe_text


def held(claim: Claim, stay: Stay, now: datetime) -> Result:
    """Return what becomes of a message that does not leave now."""
    # What plugins and servers say may quote the address, which the ledger does not keep.
    reason = safe_text(stay.reason)[:500]
    if stay.until is None:
        return Result(claim=claim, state=SUPPRESSED, reason=reason, due_time=now)
    return Result(claim=claim, state=PLANNED, reason=reason, due_time=stay.until, tried=False)


@dataclass(slots=True)
class Capped:
    """Hold what the caps say of messages of a channel and topic that are about to leave.

    held: decided, as they are over a cap. later: the contact gets another one right now; these wait for their turn.
    counted: those that take a place when they leave, each with its contact.
    """

    channel: str
    topic: str
    held: list[Result] = field(default_factory=list)
    later: set[UUID] = field(default_factory=set)
    counted: dict[UUID, UUID] = field(default_factory=dict)

    @property
    def stay(self) -> set[UUID]:
        """Return the messages that don't leave now."""
        return self.later | {result.claim.id for result in self.held}

    def unused(self, messages: Iterable[UUID]) -> list[tuple[UUID, UUID]]:
        """Return the places of messages that were not sent after all, as (contact, message)."""
        return [(self.counted[key], key) for key in messages if key in self.counted]


def reserve(
    connection: Connection,
    policies: Policies,
    claims: Sequence[Claim],
    channel: str,
    topic: str,
    now: datetime,
) -> Capped:
    """Count what the contacts of messages of a channel and topic got lately, and lock them until the transaction ends.

    To be followed by `leave` in the same transaction. Nothing is asked while no policy has caps.
    """
    capped = Capped(channel, topic)
    if not policies.counts_sends or policies.exempts(channel, topic):
        return capped
    caps = policies.caps(channel, topic)
    seen: set[UUID] = set()
    for claim in claims:
        if claim.contact_id is None:
            continue
        if caps and claim.contact_id in seen:
            # It would have to count the one before it, which may not leave after all.
            capped.later.add(claim.id)
            continue
        seen.add(claim.contact_id)
        capped.counted[claim.id] = claim.contact_id
    if not caps or not seen:
        return capped
    store.lock(connection, seen)
    by_id = {claim.id: claim for claim in claims}
    defer = policies.defers(channel, topic)
    for key, (cap, free) in store.full(connection, capped.counted, channel, topic, caps, now).items():
        del capped.counted[key]
        capped.held.append(held(by_id[key], stay_capped(cap, free, defer=defer), now))
    return capped


def leave(connection: Connection, capped: Capped, leaving: Collection[UUID], now: datetime) -> None:
    """Take the places of the messages that leave."""
    taken = {key: contact for key, contact in capped.counted.items() if key in leaving}
    store.take(connection, taken, capped.channel, capped.topic, now)
