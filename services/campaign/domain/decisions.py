"""Whether a message may leave at a moment, and why not: what senders decide by, and simulations foretell by.

All are functions of what is known of a message and its contact, of the rules, and of the moment; how that becomes known
is the caller's affair.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import NamedTuple
from uuid import UUID
from zoneinfo import ZoneInfo

from services.campaign.domain.experiments import HELD_OUT_GLOBAL, HoldOut
from services.campaign.domain.hours import Hours, HoursAhead
from services.campaign.domain.ids import TRANSACTIONAL
from services.campaign.domain.ledger import consent_problem
from services.campaign.domain.localtime import find_zone
from services.campaign.domain.policies import FREQUENCY_CAP, Cap, Policies

TIME_ZONE_UNKNOWN = "TIME_ZONE_UNKNOWN"
CONTACT_GONE, NO_ADDRESS, NO_CONSENT = "CONTACT_GONE", "NO_ADDRESS", "NO_CONSENT"
LISTED = "SUPPRESSED"
"""The reason of a message to an address on the suppression list."""


@dataclass(frozen=True, slots=True)
class Stay:
    """Say why a message does not leave now, and when it is tried again; until: None when it never leaves."""

    reason: str
    until: datetime | None = None


@dataclass(frozen=True, slots=True)
class Facts:
    """Hold what is known of whom a message goes to.

    contact_id: None for somebody who is no contact; known: whether contacts knows it; consent: as consent_problem takes
    it; blocked: whether the address is on the suppression list.
    """

    contact_id: UUID | None
    known: bool
    consent: str
    address: str
    blocked: bool


def refusal(topic: str, facts: Facts, hold_out: HoldOut | None, now: datetime) -> str:
    """Return why a message must not be sent to somebody at all, or ""."""
    if (
        hold_out is not None
        and topic != TRANSACTIONAL
        and facts.contact_id is not None
        and hold_out.holds(facts.contact_id, now)
    ):
        return HELD_OUT_GLOBAL
    if facts.contact_id is not None:
        if not facts.known:
            return CONTACT_GONE
        if problem := consent_problem(topic, facts.consent):
            return problem
    elif topic != TRANSACTIONAL:
        return NO_CONSENT
    if not facts.address:
        return NO_ADDRESS
    return LISTED if facts.blocked else ""


class HourRules:
    """Decide by the hours of policies. home: the zone of recipients whose own is not known."""

    def __init__(self, policies: Policies, home: str) -> None:
        """Decide by these policies."""
        self._policies = policies
        self._home = find_zone(home) or ZoneInfo("UTC")
        self._ahead = HoursAhead()
        self._hours: dict[tuple[str, str], Hours | None] = {}
        self._now: datetime | None = None
        self._known: dict[tuple[Hours, str], tuple[datetime, str]] = {}

    def stay(
        self, channel: str, topic: str, contact_id: UUID | None, zone_name: str, now: datetime
    ) -> Stay | None:
        """Return why a message must not leave at this hour of its recipient's day, and until when; None when it may."""
        hours = self._of(channel, topic)
        if hours is None or contact_id is None:
            return None
        zone = find_zone(zone_name)
        used = zone or self._home
        at, reason = self._next(hours, used, now)
        if not reason:
            return None
        detail = f"until {at.astimezone(used).isoformat(timespec='minutes')} in {used.key}"
        if zone is None:
            detail += (
                f", as the contact's time zone {zone_name[:60]!r} is not known"
                if zone_name
                else ", by default"
            )
        return Stay(f"{reason}: {detail}", at)

    def note(self, channel: str, topic: str, zone_name: str) -> str:
        """Return what is recorded of a message that may leave: that a malformed time zone did not count, or ""."""
        if self._of(channel, topic) is None or not zone_name or find_zone(zone_name) is not None:
            return ""
        return f"{TIME_ZONE_UNKNOWN}: {zone_name[:60]!r}, so {self._home.key} counted"

    def _of(self, channel: str, topic: str) -> Hours | None:
        """Return the hours that restrict such messages, None when nothing does."""
        scope = channel, topic
        if scope not in self._hours:
            policy = self._policies.of(channel, topic)
            self._hours[scope] = policy.hours if policy is not None and policy.hours else None
        return self._hours[scope]

    def _next(self, hours: Hours, zone: ZoneInfo, now: datetime) -> tuple[datetime, str]:
        if now != self._now:
            self._now = now
            self._known.clear()
        key = hours, zone.key
        found = self._known.get(key)
        if found is None:
            found = self._known[key] = self._ahead.next(hours, zone, now)
        return found


class Place(NamedTuple):
    """Hold a message that a contact got, as caps count it."""

    time: datetime
    channel: str
    topic: str


def over(
    caps: Sequence[Cap], places: Iterable[Place], channel: str, topic: str, now: datetime
) -> tuple[Cap, datetime] | None:
    """Return the cap that a message would be over now, and when it has a place again; None when it is over none.

    places: of its contact, up to now. Of several caps the one that has a place last. `store.caps.full` asks the
    database the same about many contacts.
    """
    got = list(places)
    found: tuple[Cap, datetime] | None = None
    for cap in caps:
        times = sorted(
            (
                place.time
                for place in got
                if now - cap.period < place.time <= now
                and (not cap.of_channel or place.channel == channel)
                and (not cap.of_topic or place.topic == topic)
            ),
            reverse=True,
        )
        if len(times) >= cap.count:
            free = times[cap.count - 1] + cap.period
            if found is None or free > found[1]:
                found = (cap, free)
    return found


def stay_capped(cap: Cap, free: datetime, *, defer: bool) -> Stay:
    """Return what becomes of a message over a cap. free: when there is a place; defer: it waits until then."""
    of = " and ".join(word for word, on in (("channel", cap.of_channel), ("topic", cap.of_topic)) if on)
    text = f"{FREQUENCY_CAP}: {cap.count} in {_length(cap.period)}" + (f" of the {of}" if of else "")
    if not defer:
        return Stay(text)
    return Stay(f"{text}, until {free.astimezone(UTC).isoformat(timespec='seconds')}", free)


def coupon_problem(pool: str, expire_time: datetime | None, left: int | None, at: datetime) -> str:
    """Return why a message fails that is to carry a coupon of a pool at a moment, or "".

    expire_time: of its coupons, None for never. left: how many uploaded codes it has, None for one that makes codes.
    """
    if expire_time is not None and expire_time <= at:
        return f"COUPON_POOL_EXPIRED: the coupons of couponPools/{pool} expired at {expire_time.isoformat()}"
    if left == 0:
        return f"COUPON_POOL_EMPTY: couponPools/{pool} has no code left; import more"
    return ""


def _length(period: timedelta) -> str:
    for unit, seconds in (("days", 86400), ("hours", 3600), ("minutes", 60)):
        number, rest = divmod(period.total_seconds(), seconds)
        if number and not rest:
            return f"{number:.0f} {unit}"
    return f"{period.total_seconds():g} seconds"
