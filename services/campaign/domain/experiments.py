"""Experiments: what they are made of, and who is in which group, which a hash decides.

The hash is of the experiment and the contact, so the same contact is in the same group at every attempt, and the groups
of two experiments have nothing to do with each other.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from hashlib import blake2b
from typing import Any
from uuid import UUID

from services.campaign.domain.campaigns import Campaign
from services.campaign.domain.ids import RuleError
from services.campaign.domain.statistics import size_per_group

DRAFT, RUNNING, RELEASING, DECIDED = "draft", "running", "releasing", "decided"
CONVERSION, REVENUE = "conversion", "revenue"
HELD_OUT, HELD_OUT_GLOBAL = "HELD_OUT", "HELD_OUT_GLOBAL"
"""Reasons of the ledger: held out of one campaign, and of all messages that are not transactional."""

DEFAULT_DURATION = timedelta(days=7)
DEFAULT_ALPHA = 0.05
_SHORTEST, _LONGEST, _LONGEST_DELAY = timedelta(hours=1), timedelta(days=90), timedelta(days=30)
_VARIANT = re.compile(r"[a-z][a-z0-9_]{0,15}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Variant:
    """Hold one of the ways in which a campaign is sent; empty fields are as the campaign has them."""

    id: str
    weight: int = 1
    template_id: str = ""
    channel: str = ""
    coupon_pool_id: str = ""
    delay: timedelta = timedelta(0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Experiment:
    """Hold the variants of a campaign, and how they are compared; the first is the control.

    baseline_rate, minimal_effect, power: what its size was planned for; all 0 when it was not.
    """

    campaign_id: str
    variants: tuple[Variant, ...]
    hold_out_percent: float = 0.0
    test_percent: float = 100.0
    duration: timedelta = DEFAULT_DURATION
    window: timedelta = DEFAULT_DURATION
    metric: str = CONVERSION
    alpha: float = DEFAULT_ALPHA
    by_hand: bool = False
    baseline_rate: float = 0.0
    minimal_effect: float = 0.0
    power: float = 0.0
    state: str = DRAFT
    end_time: datetime | None = None
    winner: str = ""
    decision: str = ""
    decide_time: datetime | None = None

    @property
    def control(self) -> Variant:
        """Return the variant that the others are compared with."""
        return self.variants[0]

    @property
    def comparisons(self) -> int:
        """Return how many comparisons share alpha."""
        return comparisons_of(len(self.variants), hold_out=bool(self.hold_out_percent))

    @property
    def planned_per_group(self) -> int:
        """Return how many contacts each group was planned to have; 0 when nobody said."""
        if not self.minimal_effect:
            return 0
        alpha = self.alpha / self.comparisons
        return size_per_group(self.baseline_rate, self.minimal_effect, self.power, alpha)

    @property
    def least_length(self) -> timedelta:
        """Return how long its campaign is not done at least: until the winner is known, or the last variant is due."""
        if self.test_percent < 100 and not self.by_hand:
            return self.duration
        return max(variant.delay for variant in self.variants)

    def variant(self, key: str) -> Variant | None:
        """Return a variant by id, or None."""
        return next((item for item in self.variants if item.id == key), None)

    def plan(self) -> dict[str, Any]:
        """Return all that its maker decided, as JSON."""
        return {
            "variants": variants_to_json(self.variants),
            "hold_out_percent": self.hold_out_percent,
            "test_percent": self.test_percent,
            "duration": self.duration.total_seconds(),
            "window": self.window.total_seconds(),
            "metric": self.metric,
            "alpha": self.alpha,
            "by_hand": self.by_hand,
            **(
                {"sample": [self.baseline_rate, self.minimal_effect, self.power]}
                if self.minimal_effect
                else {}
            ),
        }


def comparisons_of(variants: int, *, hold_out: bool) -> int:
    """Return how many comparisons share alpha: of each other variant with the control, one at least.

    With a hold-out also of each variant, and of all of them together, with those held out.
    """
    held_out = 0 if not hold_out else 1 if variants == 1 else variants + 1
    return max(1, variants - 1 + held_out)


def variants_to_json(variants: Sequence[Variant]) -> list[dict[str, Any]]:
    """Return variants as they are stored."""
    return [
        {
            "id": item.id,
            "weight": item.weight,
            "template_id": item.template_id,
            "channel": item.channel,
            "coupon_pool_id": item.coupon_pool_id,
            "delay": item.delay.total_seconds(),
        }
        for item in variants
    ]


def variants_from_json(stored: Sequence[dict[str, Any]]) -> tuple[Variant, ...]:
    """Return variants from what variants_to_json returned."""
    return tuple(Variant(**(item | {"delay": timedelta(seconds=item["delay"])})) for item in stored)


def check(item: Experiment) -> None:
    """Raise RuleError, with the field, for an experiment that cannot be."""
    if not item.variants:
        raise RuleError("must hold a variant at least", "variants")
    if len(item.variants) == 1 and not item.hold_out_percent:
        raise RuleError("one variant has nothing to be compared with: add another, or a hold-out", "variants")
    seen: set[str] = set()
    for index, variant in enumerate(item.variants):
        path = f"variants[{index}]"
        if not _VARIANT.fullmatch(variant.id):
            raise RuleError(
                "write 1 to 16 lower-case letters, digits and '_', with a letter first", f"{path}.id"
            )
        if variant.id in seen:
            raise RuleError(f"{variant.id!r} is there already", f"{path}.id")
        seen.add(variant.id)
        if not timedelta(0) <= variant.delay <= _LONGEST_DELAY:
            raise RuleError("must be from 0 to 30 days", f"{path}.delay")
    for name, length in (("duration", item.duration), ("window", item.window)):
        if not _SHORTEST <= length <= _LONGEST:
            raise RuleError("must be from an hour to 90 days", name)
    latest = max(variant.delay for variant in item.variants)
    if item.window + latest > item.duration:
        raise RuleError(
            "with the longest delay it ends after the planned end: make it shorter, or the duration longer",
            "window",
        )
    if not 0.001 <= item.alpha <= 0.2:
        raise RuleError("must be from 0.001 to 0.2", "alpha")
    if item.minimal_effect or item.baseline_rate or item.power:
        _check_sample(item)


def check_by_arrival(item: Experiment) -> None:
    """Raise RuleError, with the field, for an experiment that an evergreen campaign cannot have.

    Nobody knows its audience beforehand, so its sample is the first who come: as many as were planned.
    """
    if not item.minimal_effect:
        raise RuleError(
            "is needed where the campaign is evergreen: the first contacts are the sample, until each group has as "
            "many as were planned",
            "sample",
        )
    if item.test_percent < 100:
        raise RuleError(
            "must be 100 where the campaign is evergreen: nobody knows of how many it would be a share; all who come "
            "after the sample wait for the winner",
            "test_percent",
        )


def _check_sample(item: Experiment) -> None:
    if not 0 < item.baseline_rate < 1:
        raise RuleError("must lie between 0 and 1, as 0.02 for 2 %", "sample.baseline_rate")
    if item.minimal_effect <= 0 or item.baseline_rate + item.minimal_effect >= 1:
        raise RuleError("must be above 0 and, with the baseline rate, below 1", "sample.minimal_effect")
    if not 0.5 <= item.power <= 0.999:
        raise RuleError("must be from 0.5 to 0.999", "sample.power")


@dataclass(frozen=True, slots=True)
class Group:
    """Say what a contact is: held out, with a variant, or (variant None) waiting for the winner.

    tested: whether it counts in comparisons.
    """

    held_out: bool
    variant: Variant | None
    tested: bool = True


_OUT, _WAITS = Group(True, None), Group(False, None, tested=False)


WAITING = datetime(9999, 12, 31, tzinfo=UTC)
"""When what waits for a winner is due: never, until the winner is known."""


@dataclass(frozen=True, slots=True)
class Share:
    """Hold what a contact gets; variant: the id, empty for none; tested: whether it counts in comparisons.

    due_time: WAITING for who waits for the winner.
    """

    channel: str
    template_id: str
    coupon_pool_id: str
    held_out: bool
    due_time: datetime
    variant: str
    tested: bool


def share_of(campaign: Campaign, group: Group, now: datetime) -> Share:
    """Return what a contact of a group gets when a campaign is planned now."""
    variant = group.variant or Variant(id="")
    return Share(
        channel=variant.channel or campaign.channel,
        template_id=variant.template_id or campaign.template_id,
        coupon_pool_id=variant.coupon_pool_id or campaign.coupon_pool_id,
        held_out=group.held_out,
        due_time=now + group.variant.delay if group.variant else now if group.held_out else WAITING,
        variant=variant.id,
        tested=group.tested,
    )


def unit(salt: str, contact_id: UUID) -> float:
    """Return a number from 0 up to 1 that follows from both and from nothing else, evenly spread (BLAKE2b)."""
    digest = blake2b(contact_id.bytes, digest_size=8, key=_key(salt)).digest()
    # 53 bits are what a float holds, so that the result stays below 1.
    return (int.from_bytes(digest, "big") >> 11) / (1 << 53)


@lru_cache(maxsize=256)
def _key(salt: str) -> bytes:
    return blake2b(salt.encode(), digest_size=32).digest()


def assign(item: Experiment, contacts: Sequence[UUID]) -> list[Group]:
    """Return the group of each contact."""
    held, tested, chosen = (f"{part}:{item.campaign_id}" for part in ("h", "t", "v"))
    hold_out, test = item.hold_out_percent / 100, item.test_percent / 100
    total = sum(variant.weight for variant in item.variants)
    limits: list[tuple[float, Group]] = []
    reached = 0
    for variant in item.variants:
        reached += variant.weight
        limits.append((reached / total, Group(False, variant)))
    groups = []
    for contact in contacts:
        if hold_out and unit(held, contact) < hold_out:
            groups.append(_OUT)
        elif test < 1 and unit(tested, contact) >= test:
            groups.append(_WAITS)
        else:
            share = unit(chosen, contact)
            groups.append(next(group for limit, group in limits if share < limit))
    return groups


class Sample:
    """Place contacts in the order in which they come: in the sample until it is complete, then behind the winner."""

    def __init__(self, item: Experiment, sizes: Mapping[str, int]) -> None:
        """Begin with groups as they are: contacts by variant, "" for those held out."""
        self._item = item
        self._planned = item.planned_per_group
        keys = [variant.id for variant in item.variants] + ([""] if item.hold_out_percent else [])
        self._missing = {key: max(0, self._planned - sizes.get(key, 0)) for key in keys}

    @property
    def complete(self) -> bool:
        """Tell whether each group has as many as were planned."""
        return not any(self._missing.values())

    def place(self, contacts: Sequence[UUID]) -> list[Group]:
        """Return the group of each contact, none of which was placed before.

        Which group is decided by the hash alone, so that who comes when has no part in it.
        """
        item = self._item
        if (best := item.variant(item.winner)) is not None:
            # At once, as those get it who waited.
            return [Group(False, replace(best, delay=timedelta(0)), tested=False)] * len(contacts)
        if item.end_time is not None or self.complete:
            return [_WAITS] * len(contacts)
        groups = assign(item, contacts)
        for index, group in enumerate(groups):
            key = "" if group.variant is None else group.variant.id
            self._missing[key] = max(0, self._missing[key] - 1)
            if self.complete:
                return groups[: index + 1] + [_WAITS] * (len(groups) - index - 1)
        return groups


@dataclass(frozen=True, slots=True, kw_only=True)
class HoldOut:
    """Say which share of all contacts gets no message but transactional ones; period_days 0: always the same.

    change_time: since when the share is as it is; None when that is not known.
    """

    percent: float
    period_days: int
    salt: str
    start_time: datetime
    change_time: datetime | None = None

    def holds(self, contact_id: UUID, now: datetime) -> bool:
        """Tell whether a contact is held out now."""
        if not self.percent:
            return False
        period = (now - self.start_time) // timedelta(days=self.period_days) if self.period_days else 0
        return unit(f"{self.salt}:{period}", contact_id) < self.percent / 100
