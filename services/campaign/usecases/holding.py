"""Hours and caps at the moment of sending: which messages are held back, until when, and why."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from uuid import UUID
from zoneinfo import ZoneInfo

from sqlalchemy import Connection

from services.campaign.domain.hours import find_zone, next_allowed
from services.campaign.domain.ledger import PLANNED, SUPPRESSED
from services.campaign.domain.policies import FREQUENCY_CAP, Cap, Policies
from services.campaign.store import caps as store
from services.campaign.store.claims import Claim, Result
from services.kit.log import safe_text

TIME_ZONE_UNKNOWN = "TIME_ZONE_UNKNOWN"


class Holding:
    """Decide by the policies for the messages of one batch. home: the zone of recipients whose own is not known."""

    def __init__(self, policies: Policies, home: str, now: datetime) -> None:
        self._policies = policies
        self._home = find_zone(home) or ZoneInfo("UTC")
        self._now = now
        self._known: dict[tuple[str, str, str], tuple[datetime, str]] = {}
        self._restricted: dict[tuple[str, str], bool] = {}

    def hours(self, claim: Claim, zone_name: str) -> Result | None:
        """Return what becomes of a message that must not leave at this hour of its recipient's day, or None."""
        if not self._restricts(claim) or claim.contact_id is None:
            return None
        zone = find_zone(zone_name)
        at, reason = self._next(claim, zone or self._home)
        if not reason:
            return None
        local = at.astimezone(zone or self._home)
        detail = f"until {local.isoformat(timespec='minutes')} in {(zone or self._home).key}"
        if zone is None:
            detail += (
                f", as the contact's time zone {zone_name[:60]!r} is not known"
                if zone_name
                else ", by default"
            )
        return Result(
            claim=claim,
            state=PLANNED,
            reason=safe_text(f"{reason}: {detail}")[:500],
            due_time=at,
            tried=False,
        )

    def note(self, claim: Claim, zone_name: str) -> str:
        """Return what is recorded of a message that may leave: that a malformed time zone did not count, or ""."""
        if not self._restricts(claim) or not zone_name or find_zone(zone_name) is not None:
            return ""
        return safe_text(f"{TIME_ZONE_UNKNOWN}: {zone_name[:60]!r}, so {self._home.key} counted")[:500]

    def _restricts(self, claim: Claim) -> bool:
        """Say whether there are hours at which such messages must not leave."""
        scope = (claim.channel, claim.topic)
        if scope not in self._restricted:
            policy = self._policies.of(*scope)
            self._restricted[scope] = policy is not None and bool(policy.hours)
        return self._restricted[scope]

    def _next(self, claim: Claim, zone: ZoneInfo) -> tuple[datetime, str]:
        key = (claim.channel, claim.topic, zone.key)
        if key not in self._known:
            policy = self._policies.of(claim.channel, claim.topic)
            assert policy is not None, "it was found for this very message"
            self._known[key] = next_allowed(policy.hours, zone, self._now)
        return self._known[key]


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
    policy = policies.of(channel, topic)
    caps = policy.caps if policy is not None else ()
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
    if policy is None or not caps or not seen:
        return capped
    store.lock(connection, seen)
    by_id = {claim.id: claim for claim in claims}
    for key, (cap, free) in store.full(connection, capped.counted, channel, topic, caps, now).items():
        del capped.counted[key]
        capped.held.append(_over(by_id[key], cap, free, policy.defer, now))
    return capped


def _over(claim: Claim, cap: Cap, free: datetime, defer: bool, now: datetime) -> Result:
    of = " and ".join(word for word, on in (("channel", cap.of_channel), ("topic", cap.of_topic)) if on)
    text = f"{FREQUENCY_CAP}: {cap.count} in {_length(cap.period)}" + (f" of the {of}" if of else "")
    if not defer:
        return Result(claim=claim, state=SUPPRESSED, reason=text, due_time=now)
    until = free.astimezone(UTC).isoformat(timespec="seconds")
    return Result(claim=claim, state=PLANNED, reason=f"{text}, until {until}", due_time=free, tried=False)


def _length(period: timedelta) -> str:
    for unit, seconds in (("days", 86400), ("hours", 3600), ("minutes", 60)):
        number, rest = divmod(period.total_seconds(), seconds)
        if number and not rest:
            return f"{number:.0f} {unit}"
    return f"{period.total_seconds():g} seconds"


def leave(connection: Connection, capped: Capped, leaving: Collection[UUID], now: datetime) -> None:
    """Take the places of the messages that leave."""
    taken = {key: contact for key, contact in capped.counted.items() if key in leaving}
    store.take(connection, taken, capped.channel, capped.topic, now)
