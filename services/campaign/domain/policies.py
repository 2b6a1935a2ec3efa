"""Send policies: when people may be written to and how often, and which policy a message falls under."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from services.campaign.domain.hours import Hours, check_hours
from services.campaign.domain.ids import TRANSACTIONAL, RuleError, check_id, check_topic

FREQUENCY_CAP = "FREQUENCY_CAP"
MAX_CAPS, MAX_SPANS = 20, 50
LONGEST_PERIOD = timedelta(days=366)
SHORTEST_PERIOD = timedelta(seconds=1)


@dataclass(frozen=True, slots=True)
class Cap:
    """Allow a contact at most `count` messages in any stretch of time as long as `period`.

    of_channel, of_topic: only messages of the same channel, or topic, as the one to be sent are counted.
    """

    count: int
    period: timedelta
    of_channel: bool = False
    of_topic: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """Hold a policy. channel, topic: for which messages, "" for all; transactional: it holds for these too.

    defer: a message over a cap waits until it is under it, in place of being suppressed.
    """

    id: str
    channel: str
    topic: str
    hours: Hours
    caps: tuple[Cap, ...]
    transactional: bool
    defer: bool
    revision: int
    create_time: datetime
    update_time: datetime

    @property
    def etag(self) -> str:
        """Return what changes with each change, and differs from that of a policy that had the id before."""
        return f"{self.revision}-{int(self.create_time.timestamp() * 1e6):x}"


class Policies:
    """Find what holds for a message: the hours of the most specific policy, and the caps of all of them.

    A narrower policy may open other hours, but no cap of a wider one goes: who set that 3 messages a week are enough
    means it, whatever is set for a channel or topic besides.
    """

    def __init__(self, policies: Iterable[Policy]) -> None:
        """Index policies, of which each (channel, topic) has one at most."""
        self._by_scope = {(item.channel, item.topic): item for item in policies}
        periods = [cap.period for item in self._by_scope.values() for cap in item.caps]
        self.longest_period = max(periods, default=timedelta(0))

    def of(self, channel: str, topic: str) -> Policy | None:
        """Return the policy of a channel and topic, else of the topic, else of the channel, else of all; or None.

        None as well for transactional messages when the policy does not hold for these.
        """
        for scope in ((channel, topic), ("", topic), (channel, ""), ("", "")):
            if (found := self._by_scope.get(scope)) is not None:
                return None if topic == TRANSACTIONAL and not found.transactional else found
        return None

    def caps(self, channel: str, topic: str) -> tuple[Cap, ...]:
        """Return the caps that a message of a channel and topic is under, each once; the strictest decides."""
        return tuple(dict.fromkeys(cap for policy in self._holding(channel, topic) for cap in policy.caps))

    def defers(self, channel: str, topic: str) -> bool:
        """Say whether a message over a cap waits: the most specific policy that holds for it decides."""
        return any(policy.defer for policy in self._holding(channel, topic)[:1])

    def exempts(self, channel: str, topic: str) -> bool:
        """Say whether a message is one that no policy holds for, so that it is not counted for others either."""
        return topic == TRANSACTIONAL and not self._holding(channel, topic)

    def _holding(self, channel: str, topic: str) -> list[Policy]:
        """Return the policies that hold for a message, the most specific one first.

        Transactional messages fall under those that say so, unless one for them alone says no.
        """
        scopes = ((channel, topic), ("", topic), (channel, ""), ("", ""))
        found = [item for scope in scopes if (item := self._by_scope.get(scope)) is not None]
        if topic != TRANSACTIONAL:
            return found
        if found and found[0].topic == TRANSACTIONAL and not found[0].transactional:
            return []
        return [item for item in found if item.transactional]

    @property
    def counts_sends(self) -> bool:
        """Say whether any policy has a cap, so that what is sent must be counted."""
        return bool(self.longest_period)


def check_policy(policy: Policy) -> None:
    """Raise RuleError that names the field that is out of its bounds."""
    try:
        check_id(policy.id)
    except RuleError as error:
        raise RuleError(str(error), "name") from error
    if policy.topic:
        try:
            check_topic(policy.topic)
        except RuleError as error:
            raise RuleError(str(error), "topic") from error
    check_hours(policy.hours)
    _check_caps(policy.caps)


def _check_caps(caps: Sequence[Cap]) -> None:
    for index, cap in enumerate(caps):
        if not 1 <= cap.count <= 10_000:
            raise RuleError(
                "must be 1 to 10,000; to send nothing, set no policy but cancel", f"caps[{index}].count"
            )
        if not SHORTEST_PERIOD <= cap.period <= LONGEST_PERIOD:
            raise RuleError("must last a second to 366 days", f"caps[{index}].period")
