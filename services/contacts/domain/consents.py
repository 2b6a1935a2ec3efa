"""Consent: whether a contact may be written to, and which decision is in force."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from services.contacts.domain.errors import Refused

# No "_" in a channel, so that <channel>_<topic> can be read in one way only.
_CHANNEL = re.compile(r"[a-z][a-z0-9]{0,39}")
_TOPIC = re.compile(r"[a-z][a-z0-9_]{0,39}")
FUTURE_ALLOWED = timedelta(days=1)
_TICK = timedelta(microseconds=1)


@dataclass(frozen=True, slots=True)
class Wish:
    """Hold a decision as it is handed in; decide_time None means now."""

    channel: str
    topic: str
    granted: bool
    decide_time: datetime | None = None
    source: str = ""
    proof: str = ""


@dataclass(frozen=True, slots=True)
class Decision:
    """Hold a recorded decision."""

    channel: str
    topic: str
    granted: bool
    decide_time: datetime
    source: str = ""
    proof: str = ""

    @property
    def key(self) -> str:
        """Return the name under which rules know it, such as `email_marketing`."""
        return f"{self.channel}_{self.topic}"


def check_channel(channel: str) -> str:
    """Return a channel's name; raises Refused when it is malformed."""
    if not _CHANNEL.fullmatch(channel):
        raise Refused(f"{channel[:50]!r} names no channel; write lower-case letters and digits, like 'email'")
    return channel


def check_topic(topic: str) -> str:
    """Return a topic's name; raises Refused when it is malformed."""
    if not _TOPIC.fullmatch(topic):
        raise Refused(
            f"{topic[:50]!r} names no topic; write lower-case letters, digits and '_', like 'marketing'"
        )
    return topic


def check_time(decide_time: datetime | None, now: datetime) -> None:
    """Raise Refused for a decision of the future, which would outweigh all that really come."""
    if decide_time is not None and decide_time > now + FUTURE_ALLOWED:
        raise Refused("lies more than one day in the future")


def decide(wish: Wish, in_force: Decision | None, now: datetime) -> Decision | None:
    """Return the decision to record, or None when it says nothing new.

    A wish without a time of its own is newer than the decision in force, even when the clock stands still or
    went back; it says nothing new when it repeats that decision's state, source and proof. So a call sent
    twice records once.
    """
    time = wish.decide_time
    if time is None:
        time = now
        if in_force is not None:
            if (in_force.granted, in_force.source, in_force.proof) == (wish.granted, wish.source, wish.proof):
                return None
            time = max(now, in_force.decide_time + _TICK)
    elif in_force is not None and (in_force.decide_time, in_force.granted) == (time, wish.granted):
        return None
    return Decision(wish.channel, wish.topic, wish.granted, time, wish.source, wish.proof)


def takes_force(decision: Decision, in_force: Mapping[str, Decision]) -> bool:
    """Tell whether a decision outweighs the one in force; of two of one moment the later recorded does."""
    present = in_force.get(decision.key)
    return present is None or decision.decide_time >= present.decide_time
