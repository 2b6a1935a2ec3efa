"""What the figures of an experiment mean: comparisons, the winner, and words for people."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from decimal import Decimal

from services.campaign.domain.experiments import CONVERSION, RUNNING, Experiment, comparisons_of
from services.campaign.domain.money import total as exact_total
from services.campaign.domain.statistics import (
    Amounts,
    Compared,
    compare_amounts,
    compare_rates,
    detectable,
    size_per_group,
)

_HEAVY = 0.2
"""From this share of a group's revenue on, a single customer is named as what may decide it."""


@dataclass(frozen=True, slots=True)
class Spent:
    """Hold what a group spent in a currency; contacts: who spent anything, net."""

    total: Decimal
    amounts: Amounts
    contacts: int


@dataclass(frozen=True, slots=True)
class Arm:
    """Hold what a group did; variant "" : held out."""

    variant: str
    assigned: int = 0
    sent: int = 0
    converted: int = 0
    spent: Mapping[str, Spent] = field(default_factory=dict)

    @property
    def rate(self) -> float:
        """Return the share of contacts with an order."""
        return self.converted / self.assigned if self.assigned else 0.0

    def amounts(self, currency: str) -> Amounts:
        """Return what all of the group spent; those who spent nothing count."""
        found = self.spent.get(currency)
        return found.amounts if found else Amounts(self.assigned, 0.0, 0.0)


@dataclass(frozen=True, slots=True)
class Verdict:
    """Hold a group's comparisons, each with what it is compared with; None: nothing to compare with, or not yet.

    held_out, held_out_revenue: with those who got nothing; of the control the same as the others.
    """

    arm: Arm
    against: str | None
    conversion: Compared | None
    revenue: Mapping[str, Compared]
    held_out: Compared | None = None
    held_out_revenue: Mapping[str, Compared] = field(default_factory=dict)


def conversion_of(arm: Arm, other: Arm, alpha: float) -> Compared:
    """Compare the shares of contacts with an order."""
    return compare_rates(arm.converted, arm.assigned, other.converted, other.assigned, alpha)


def revenue_of(arm: Arm, other: Arm, alpha: float) -> dict[str, Compared]:
    """Compare what contacts spent, by currency."""
    return {
        currency: compare_amounts(arm.amounts(currency), other.amounts(currency), alpha)
        for currency in sorted(arm.spent.keys() | other.spent.keys())
    }


def judge(experiment: Experiment, arms: Sequence[Arm], *, final: bool) -> list[Verdict]:
    """Compare each variant with the control and with those held out; nothing before the planned end."""
    by_id = {arm.variant: arm for arm in arms}
    alpha = experiment.alpha / experiment.comparisons
    verdicts = []
    for arm in arms:
        against: str | None = None
        if arm.variant == experiment.control.id:
            against = "" if "" in by_id else None
        elif arm.variant:
            against = experiment.control.id
        if not final or against is None or against not in by_id:
            verdicts.append(Verdict(arm, None, None, {}))
            continue
        other, nothing = by_id[against], by_id.get("")
        verdicts.append(
            Verdict(
                arm,
                against,
                conversion_of(arm, other, alpha),
                revenue_of(arm, other, alpha),
                None if nothing is None else conversion_of(arm, nothing, alpha),
                {} if nothing is None else revenue_of(arm, nothing, alpha),
            )
        )
    return verdicts


ALL = "*"
"""Stands for all variants together."""


def together(experiment: Experiment, arms: Sequence[Arm], *, final: bool) -> Verdict | None:
    """Compare all variants together with those held out; None without a hold-out, or when there is one variant only."""
    nothing = next((arm for arm in arms if not arm.variant), None)
    variants = [arm for arm in arms if arm.variant]
    if nothing is None or len(variants) < 2:
        return None
    arm = merged(variants)
    if not final:
        return Verdict(arm, None, None, {})
    alpha = experiment.alpha / experiment.comparisons
    found, spent = conversion_of(arm, nothing, alpha), revenue_of(arm, nothing, alpha)
    return Verdict(arm, "", found, spent, found, spent)


def merged(arms: Sequence[Arm]) -> Arm:
    """Return groups as one; nobody is in two of them."""
    assigned = sum(arm.assigned for arm in arms)
    spent: dict[str, Spent] = {}
    for currency in {currency for arm in arms for currency in arm.spent}:
        items = [arm.spent[currency] for arm in arms if currency in arm.spent]
        amounts = Amounts(
            assigned,
            math.fsum(item.amounts.total for item in items),
            math.fsum(item.amounts.squares for item in items),
            max(item.amounts.largest for item in items),
        )
        total = exact_total([item.total for item in items])
        spent[currency] = Spent(total, amounts, sum(item.contacts for item in items))
    return Arm(ALL, assigned, sum(arm.sent for arm in arms), sum(arm.converted for arm in arms), spent)


def main_currency(arms: Sequence[Arm]) -> str:
    """Return the currency in which most contacts bought, or ""."""
    buyers: dict[str, int] = {}
    for arm in arms:
        for currency, spent in arm.spent.items():
            buyers[currency] = buyers.get(currency, 0) + spent.contacts
    return max(sorted(buyers), key=lambda currency: buyers[currency], default="")


def winner(experiment: Experiment, verdicts: Sequence[Verdict]) -> tuple[str, str]:
    """Return the variant that wins at the planned end, and why: the control unless another is better beyond chance."""
    control = experiment.control.id
    currency = main_currency([item.arm for item in verdicts])
    better: list[tuple[float, str, Compared]] = []
    for item in verdicts:
        if item.against != control:
            continue
        compared = item.conversion if experiment.metric == CONVERSION else item.revenue.get(currency)
        if compared is not None and compared.significant and compared.difference > 0:
            better.append((compared.difference, item.arm.variant, compared))
    what = (
        "conversion"
        if experiment.metric == CONVERSION
        else f"revenue for each contact in {currency or 'any currency'}"
    )
    if not better:
        return control, f"{control} wins as the control: no other variant's {what} is better beyond chance"
    difference, best, compared = max(better)
    more = _points(difference) if experiment.metric == CONVERSION else _amount(difference, currency)
    return best, f"{best} wins: its {what} is {more} above that of {control}; {_odds(compared.p_value)}"


def words(
    experiment: Experiment,
    verdicts: Sequence[Verdict],
    *,
    final: bool,
    now: datetime,
    whole: Verdict | None = None,
) -> list[str]:
    """Return what the figures mean, a line for each comparison. whole: all variants together."""
    lines = []
    if not final:
        end = f"at {experiment.end_time.isoformat()}" if experiment.end_time else "some time after the launch"
        if experiment.end_time is None and experiment.state == RUNNING:
            end = f"{experiment.duration} after the sample is complete"
        lines.append(f"Not final: the planned end is {end}; until then nothing is compared")
    for item in verdicts:
        other = item.against or _NOBODY
        lines += told(item.arm.variant, other, item.arm, item.conversion, item.revenue)
    for item in verdicts:
        if item.against:
            lines += told(item.arm.variant, _NOBODY, item.arm, item.held_out, item.held_out_revenue)
    if whole is not None:
        name = "all variants together"
        lines += told(name, _NOBODY, whole.arm, whole.conversion, whole.revenue, many=True)
    lines += _sizes(experiment, [item.arm for item in verdicts], final=final)
    if experiment.decision:
        lines.append(experiment.decision)
    decided = experiment.decide_time
    if decided is not None and experiment.end_time is not None and decided < experiment.end_time:
        lines.append(
            "It was decided before its planned end: whoever looks at figures early finds a difference by chance more "
            f"often than in {experiment.alpha:.3g} of all cases"
        )
    return lines


_NOBODY = "those held out"
_USUAL_POWER = 0.8


def too_small(experiment: Experiment, arms: Sequence[Arm]) -> bool:
    """Tell whether a group has fewer contacts than were planned."""
    return any(arm.assigned < experiment.planned_per_group for arm in arms)


def _sizes(experiment: Experiment, arms: Sequence[Arm], *, final: bool) -> list[str]:
    """Return how large the groups were to be and are, and what they therefore cannot tell."""
    if not arms or (not final and not experiment.minimal_effect):
        return []
    least = min(arms, key=lambda arm: arm.assigned)
    alpha = experiment.alpha / experiment.comparisons
    if not experiment.minimal_effect:
        rate = next(arm.rate for arm in arms if arm.variant == experiment.control.id)
        seen = detectable(rate, least.assigned, _USUAL_POWER, alpha)
        reach = (
            f"find differences from {_points(seen)} on with a power of {_USUAL_POWER:.0%}; smaller ones may be there"
            if seen
            else "are too small to find any difference in conversion"
        )
        return [f"No size was planned beforehand: groups of {least.assigned} {reach}"]
    planned = experiment.planned_per_group
    plan = (
        f"Planned were {planned} contacts in each group, to find {_points(experiment.minimal_effect)} over "
        f"{experiment.baseline_rate:.2%} with a power of {experiment.power:.0%}"
    )
    name = least.variant or _NOBODY
    if experiment.end_time is None:
        return [f"{plan}; the smallest has {least.assigned} so far ({name})"]
    if least.assigned >= planned:
        return [f"{plan}; all groups have as many, the smallest {least.assigned} ({name})"]
    seen = detectable(experiment.baseline_rate, least.assigned, experiment.power, alpha)
    reach = f"only differences from {_points(seen)} on are found" if seen else "no difference is found"
    return [
        f"{plan}; too few: {name} has {least.assigned}, with which {reach}. That none was found says little, and one "
        "that was found is likely to be overstated"
    ]


def told(
    name: str,
    other: str,
    arm: Arm,
    conversion: Compared | None,
    revenue: Mapping[str, Compared],
    *,
    many: bool = False,
) -> list[str]:
    """Return the comparisons of a group with another one in words. many: its name is a plural."""
    lines = [] if conversion is None else [_conversion(name, other, conversion, many)]
    return lines + [_revenue(name, other, arm, item, currency, many) for currency, item in revenue.items()]


def _conversion(name: str, other: str, compared: Compared, many: bool) -> str:
    low, high = compared.interval.low, compared.interval.high
    span = f"({_confidence(compared.alpha)}: {low * 100:+.2f} to {high * 100:+.2f} points)"
    if not compared.significant:
        return f"{name} and {other} do not differ in conversion beyond chance {span}"
    way = "more" if compared.difference > 0 else "less"
    return (
        f"{name} {'convert' if many else 'converts'} {_points(abs(compared.difference))} {way} than {other} {span}; "
        f"{_odds(compared.p_value)}"
    )


def _revenue(name: str, other: str, arm: Arm, compared: Compared, currency: str, many: bool) -> str:
    low, high = compared.interval.low, compared.interval.high
    span = f"({_confidence(compared.alpha)}: {low:+,.4g} to {high:+,.4g})"
    if compared.significant:
        way = "more" if compared.difference > 0 else "less"
        more = f"{_amount(abs(compared.difference), currency)} {way}"
        line = f"{name} {'bring' if many else 'brings'} {more} for each contact than {other} {span}"
    else:
        line = f"{name} and {other} do not differ in revenue in {currency} beyond chance {span}"
    amounts = arm.amounts(currency)
    share = amounts.largest / amounts.total if amounts.total > 0 else 0.0
    if share >= _HEAVY:
        line += f"; one customer brought {share:.0%} of it, so trust the interval less"
    return line


def _points(difference: float) -> str:
    return f"{difference * 100:.2f} points"


def _amount(value: float, currency: str) -> str:
    return f"{value:,.4g} {currency}"


def _confidence(alpha: float) -> str:
    return f"{(1 - alpha) * 100:.4g} %"


def _odds(p_value: float) -> str:
    if p_value < 0.0001:
        return "chance alone makes such a difference in less than 1 of 10,000 cases"
    return f"chance alone makes such a difference in {p_value * 1000:.2g} of 1,000 cases"


@dataclass(frozen=True, slots=True)
class SizePlan:
    """Hold how large an experiment must be."""

    per_arm: int
    total: int
    alpha: float
    duration: timedelta
    test_percent: float
    detectable: float
    summary: str


def plan_size(
    *,
    rate: float,
    effect: float,
    power: float,
    alpha: float,
    arms: int,
    audience: int,
    per_day: int,
    window: timedelta,
    hold_out: bool = False,
) -> SizePlan:
    """Return how many contacts are needed, in words too; audience and per_day 0: not known.

    hold_out: whether one of the arms are those held out.
    """
    comparisons = comparisons_of(arms - hold_out, hold_out=hold_out)
    single = alpha / comparisons
    per_arm = size_per_group(rate, effect, power, single)
    total = per_arm * arms
    reached = timedelta(days=total / per_day) if per_day else timedelta(0)
    percent = total / audience * 100 if audience else 0.0
    found = detectable(rate, audience // arms, power, single) if audience else 0.0
    lines = [
        f"{per_arm} contacts for each of {arms} groups find {_points(effect)} over {rate:.2%} "
        f"with a power of {power:.0%}; "
        f"alpha {alpha:g} is shared by {comparisons} comparison{'s' if comparisons > 1 else ''} "
        f"(Bonferroni: {single:.4g} each)"
    ]
    if audience:
        lines.append(
            f"that is {percent:.3g} % of the audience"
            if percent <= 100
            else "the audience is too small: "
            + (
                f"with all of it {_points(found)} are found"
                if found
                else "no difference is found with this power"
            )
        )
    return SizePlan(per_arm, total, single, reached + window, percent, found, "; ".join(lines))
