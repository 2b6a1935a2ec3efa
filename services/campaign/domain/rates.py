"""Rate limits: what they hold for, and how fast a domain's share of a batch may go."""

from __future__ import annotations

import math
import re
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from services.campaign.domain.ids import RuleError, check_id

EACH = "*"
RATE_LIMITED = "RATE_LIMITED"
FASTEST, SLOWEST = 5_000.0, 1 / 3600
MAX_BURST = 100_000
_DOMAIN = re.compile(
    r"(?=.{1,253}$)[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?(?:\.[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?)*"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class RateLimit:
    """Hold a limit that its channels share. domain: "" for all recipients, "*" for each domain by itself, or one.

    count: places that come in a period; burst: places that may be taken at once after a quiet time.
    """

    id: str
    channels: tuple[str, ...]
    domain: str
    count: int
    period: timedelta
    burst: int
    revision: int
    create_time: datetime
    update_time: datetime

    @property
    def per_second(self) -> float:
        """Return the places that come in a second."""
        return self.count / self.period.total_seconds()

    @property
    def etag(self) -> str:
        """Return what changes with each change, and differs from that of a limit that had the id before."""
        return f"{self.revision}-{int(self.create_time.timestamp() * 1e6):x}"


@dataclass(frozen=True, slots=True)
class Bucket:
    """Name what places are taken from: a limit, of one domain when each domain has its own."""

    key: str
    per_second: float
    burst: int


@dataclass(frozen=True, slots=True)
class Grant:
    """Say how many places were given. wait: real seconds until the next comes, 0 when there is one already.

    full: seconds until half a burst has come together, so that who waits so long gets a batch and loses no place.
    """

    places: int
    wait: float
    full: float


class RateLimits:
    """Find the limits of a channel and of its recipients' domains."""

    def __init__(self, limits: Iterable[RateLimit]) -> None:
        """Index limits by channel."""
        self._overall: dict[str, list[Bucket]] = defaultdict(list)
        self._domains: dict[str, dict[str, list[RateLimit]]] = defaultdict(lambda: defaultdict(list))
        for limit in limits:
            for channel in limit.channels:
                if limit.domain:
                    self._domains[channel][limit.domain].append(limit)
                else:
                    self._overall[channel].append(Bucket(limit.id, limit.per_second, limit.burst))

    def of_channel(self, channel: str) -> Sequence[Bucket]:
        """Return the buckets that every message of a channel takes a place from."""
        return self._overall.get(channel, ())

    def of_domain(self, channel: str, domain: str) -> Sequence[Bucket]:
        """Return the buckets of a domain: those of the limits that name it, or else of those of each domain."""
        known = self._domains.get(channel)
        if not known or not domain:
            return ()
        named = known.get(domain) or known.get(EACH) or ()
        return [
            Bucket(
                f"{limit.id}:{domain}" if limit.domain == EACH else limit.id, limit.per_second, limit.burst
            )
            for limit in named
        ]

    def has_domains(self, channel: str) -> bool:
        """Say whether any domain of a channel is limited."""
        return bool(self._domains.get(channel))


def domain_of(address: str) -> str:
    """Return the domain of a mail address in lower case; "" for an address that has none, such as a phone number."""
    return address.rpartition("@")[2].strip().rstrip(".").lower() if "@" in address else ""


def default_burst(per_second: float) -> int:
    """Return the places of a fifth of a second, at least one: they keep senders busy between two looks."""
    return max(1, math.ceil(per_second / 5))


def check_limit(limit: RateLimit) -> None:
    """Raise RuleError that names the field that is out of its bounds."""
    try:
        check_id(limit.id)
    except RuleError as error:
        raise RuleError(str(error), "name") from error
    if not limit.channels or "" in limit.channels:
        raise RuleError("must name at least one channel, and no empty one", "channels")
    if limit.domain not in ("", EACH) and not _DOMAIN.fullmatch(limit.domain):
        raise RuleError(
            "must be a domain in lower case such as 'gmail.com' (an international one in its form with 'xn--'), "
            "'*' for each domain by itself, or empty",
            "domain",
        )
    if not SLOWEST * (1 - 1e-9) <= limit.per_second <= FASTEST:
        raise RuleError("must give one message an hour to 5,000 a second", "count")
    if not 1 <= limit.burst <= MAX_BURST:
        raise RuleError(f"must be 1 to {MAX_BURST:,}", "burst")
