"""When a campaign needs a second person's approval, and whether it is still what was approved."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from hashlib import sha256
from typing import Any
from uuid import UUID

from services.campaign.domain.money import plain

REQUESTED, APPROVED, REJECTED, WITHDRAWN = "requested", "approved", "rejected", "withdrawn"
Amount = tuple[Decimal, str]
"""An exact amount and its currency."""

_WORDS = {
    "segment": "the segment",
    "segment_version": "the version of the segment's rule",
    "audience": "the number of members",
    "template": "the template",
    "channel": "the channel",
    "topic": "the topic",
    "coupon_pool": "the coupon pool",
    "budget": "the budget",
    "experiment": "the experiment",
    "evergreen": "whether it stays open",
    "recurrence": "how it recurs",
    "hold_out": "the share held out",
    "unknown_policy": "what becomes of messages that may have been sent",
}
# Told by name alone: what they were is long, and stands in the request.
_PARTS = {
    "experiment": "the experiment",
    "links": "how its links are counted",
    "trigger": "what starts it",
    "exits": "when people leave it",
    "goals": "what it is for",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """Say when campaigns on a topic ("" for all others) need approval; None: not for that reason."""

    topic: str
    always: bool = False
    audience_above: int | None = None
    budget_above: Amount | None = None
    size_tolerance_percent: int = 0
    update_time: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Approval:
    """Hold a request for approval and what became of it; subject: what it is about, by part.

    campaign_id, journey_id: one of them is None. proposal: a definition of the journey that is not stored yet; None: as
    it is stored.
    """

    id: UUID
    campaign_id: str | None = None
    journey_id: str | None = None
    proposal: Mapping[str, Any] | None = None
    state: str
    requester: str
    request_comment: str
    request_time: datetime
    decider: str = ""
    decision_comment: str = ""
    decide_time: datetime | None = None
    subject: Mapping[str, str]
    fingerprint: str

    @property
    def origin(self) -> str:
        """Return the name of what is to be approved."""
        return f"campaigns/{self.campaign_id}" if self.campaign_id else f"journeys/{self.journey_id}"


def fingerprint_of(subject: Mapping[str, str]) -> str:
    """Return the SHA-256 of a subject in hexadecimal digits, whatever the order of its parts."""
    return sha256(json.dumps(dict(subject), sort_keys=True, ensure_ascii=False).encode()).hexdigest()


def policy_for(policies: Sequence[Policy], topic: str) -> Policy | None:
    """Return the policy of a topic, or else the one for all others."""
    by_topic = {policy.topic: policy for policy in policies}
    return by_topic.get(topic) or by_topic.get("")


def reasons(
    policy: Policy | None, audience: int | None, budget: Amount | None, what: str = "campaigns"
) -> list[str]:
    """Return in words why something needs approval; empty when it does not.

    audience: None when nobody can say beforehand how many it will be. what: it is one of.
    """
    if policy is None:
        return []
    found = []
    if policy.always:
        found.append(
            f"all {what} on the topic {policy.topic!r} need it" if policy.topic else f"all {what} need it"
        )
    if policy.audience_above is not None and audience is None:
        found.append(f"it may reach more than {policy.audience_above} people")
    elif policy.audience_above is not None and audience is not None and audience > policy.audience_above:
        found.append(f"{audience} members are more than {policy.audience_above}")
    if policy.budget_above is not None and budget is not None:
        (limit, currency), (amount, given) = policy.budget_above, budget
        if given != currency and amount:
            found.append(f"the budget is in {given}, while the limit is in {currency}")
        elif amount > limit:
            found.append(f"the budget of {plain(amount)} {given} is more than {plain(limit)} {currency}")
    return found


def changes(approved: Mapping[str, str], now: Mapping[str, str], tolerance_percent: int) -> list[str]:
    """Return in words what is not as it was approved.

    tolerance_percent: by how much of the approved number the audience may have changed.
    """
    found = []
    for part in sorted(approved.keys() | now.keys()):
        before, after = approved.get(part, ""), now.get(part, "")
        if before == after:
            continue
        if part == "audience" and abs(int(after) - int(before)) * 100 <= tolerance_percent * int(before):
            continue
        found.append(_change(part, before, after))
    return found


def _change(part: str, before: str, after: str) -> str:
    kind, _, name = part.partition(":")
    if kind == "template" and name:
        if not before or not after:
            return f"templates/{name} is {'sent now' if after else 'no longer sent'}"
        return f"templates/{name} was revision {before} and is {after}"
    if kind == "step":
        how = "is another one" if before and after else "is new" if after else "is gone"
        return f"the step {name!r} {how}"
    if part in _PARTS:
        return f"{_PARTS[part]} is another one"
    return f"{_WORDS.get(part, part)} was {before or 'none'} and is {after or 'none'}"
