"""The statistics of experiments: sizes, intervals and tests, from counts and sums alone.

Rates: Wilson's interval, Newcombe's interval for a difference (Newcombe 1998, Statistics in Medicine 17, method 10),
the pooled z-test, Fisher's exact test where a count is too small for the normal distribution. Amounts: Welch.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from statistics import NormalDist

_NORMAL = NormalDist()
_SMALL = 5
"""Below this expected count in any cell, chi-square and z are not to be trusted (Cochran 1954)."""


@dataclass(frozen=True, slots=True)
class Interval:
    """Hold both ends."""

    low: float
    high: float


@dataclass(frozen=True, slots=True)
class Compared:
    """Hold a difference, where the true one lies, and how likely chance alone makes one as large (two-sided)."""

    difference: float
    interval: Interval
    p_value: float
    alpha: float
    method: str

    @property
    def significant(self) -> bool:
        """Tell whether chance is ruled out: by the test and by the interval, which near the limit may differ."""
        return self.p_value < self.alpha and not self.interval.low <= 0 <= self.interval.high


@dataclass(frozen=True, slots=True)
class Amounts:
    """Hold sums of amounts over a group of which most spent nothing; count: of all of them."""

    count: int
    total: float
    squares: float
    largest: float = 0.0

    @property
    def mean(self) -> float:
        """Return the amount for each."""
        return self.total / self.count if self.count else 0.0

    @property
    def variance(self) -> float:
        """Return the variance of the sample."""
        if self.count < 2:
            return 0.0
        return max(0.0, (self.squares - self.total * self.total / self.count) / (self.count - 1))


def wilson(hits: int, count: int, alpha: float = 0.05) -> Interval:
    """Return Wilson's interval of a rate; from 0 to 1 for nobody."""
    if count == 0:
        return Interval(0.0, 1.0)
    z = _NORMAL.inv_cdf(1 - alpha / 2)
    rate, square = hits / count, z * z
    middle = rate + square / (2 * count)
    spread = z * math.sqrt(rate * (1 - rate) / count + square / (4 * count * count))
    scale = 1 + square / count
    low = 0.0 if hits == 0 else (middle - spread) / scale
    high = 1.0 if hits == count else (middle + spread) / scale
    return Interval(low, high)


def newcombe(hits: int, count: int, other_hits: int, other_count: int, alpha: float = 0.05) -> Interval:
    """Return the interval of the first rate less the second (hybrid score)."""
    if not count or not other_count:
        return Interval(-1.0, 1.0)
    first, second = hits / count, other_hits / other_count
    one, two = wilson(hits, count, alpha), wilson(other_hits, other_count, alpha)
    difference = first - second
    return Interval(
        difference - math.hypot(first - one.low, two.high - second),
        difference + math.hypot(one.high - first, second - two.low),
    )


def compare_rates(hits: int, count: int, other_hits: int, other_count: int, alpha: float) -> Compared:
    """Compare the first rate with the second."""
    interval = newcombe(hits, count, other_hits, other_count, alpha)
    if not count or not other_count:
        return Compared(0.0, interval, 1.0, alpha, "nobody to compare")
    difference = hits / count - other_hits / other_count
    both, everybody = hits + other_hits, count + other_count
    least = min(count, other_count) * min(both, everybody - both) / everybody
    if least < _SMALL:
        p_value = fisher(hits, count, other_hits, other_count)
        method = "Fisher's exact test"
    else:
        rate = both / everybody
        error = math.sqrt(rate * (1 - rate) * (1 / count + 1 / other_count))
        p_value = 2 * _NORMAL.cdf(-abs(difference) / error)
        method = "pooled z-test"
    return Compared(difference, interval, p_value, alpha, f"{method}; interval by Newcombe")


def fisher(hits: int, count: int, other_hits: int, other_count: int) -> float:
    """Return the two-sided p-value of Fisher's exact test: of all tables as unlikely as this one, or more so."""
    both = hits + other_hits
    low, high = max(0, both - other_count), min(both, count)
    logs = [_log_choose(count, k) + _log_choose(other_count, both - k) for k in range(low, high + 1)]
    top = max(logs)
    weights = [math.exp(value - top) for value in logs]
    limit = weights[hits - low] * (1 + 1e-7)
    return min(1.0, math.fsum(item for item in weights if item <= limit) / math.fsum(weights))


def _log_choose(total: int, part: int) -> float:
    return math.lgamma(total + 1) - math.lgamma(part + 1) - math.lgamma(total - part + 1)


def compare_amounts(group: Amounts, other: Amounts, alpha: float) -> Compared:
    """Compare means by Welch's test, which takes no variances for equal."""
    difference = group.mean - other.mean
    if group.count < 2 or other.count < 2:
        return Compared(difference, Interval(-math.inf, math.inf), 1.0, alpha, "too few to compare")
    one, two = group.variance / group.count, other.variance / other.count
    if one + two == 0:
        return Compared(
            difference, Interval(difference, difference), float(difference == 0), alpha, "no spread"
        )
    freedom = (one + two) ** 2 / (one * one / (group.count - 1) + two * two / (other.count - 1))
    # Not at the top: it takes long to load, and few processes ever compare amounts.
    from scipy.special import stdtr, stdtrit

    error = math.sqrt(one + two)
    reach = float(stdtrit(freedom, 1 - alpha / 2)) * error
    p_value = 2 * float(stdtr(freedom, -abs(difference) / error))
    return Compared(
        difference, Interval(difference - reach, difference + reach), p_value, alpha, "Welch's t-test"
    )


def size_per_group(rate: float, effect: float, power: float, alpha: float) -> int:
    """Return how many each group needs for a difference of rates to be found (Fleiss 1981, without correction).

    rate: of the control; effect: what is added to it; alpha: of this comparison, two-sided.
    """
    other = rate + effect
    middle = (rate + other) / 2
    z_alpha, z_power = _NORMAL.inv_cdf(1 - alpha / 2), _NORMAL.inv_cdf(power)
    root = z_alpha * math.sqrt(2 * middle * (1 - middle)) + z_power * math.sqrt(
        rate * (1 - rate) + other * (1 - other)
    )
    return max(2, math.ceil((root / effect) ** 2 - 1e-9))


def detectable(rate: float, count: int, power: float, alpha: float) -> float:
    """Return the smallest difference that groups of this size find, or 0 when they find none at all."""
    low, high = 0.0, 1 - rate
    if count < 2 or size_per_group(rate, high - 1e-12, power, alpha) > count:
        return 0.0
    for _ in range(60):
        middle = (low + high) / 2
        if middle <= 0 or size_per_group(rate, middle, power, alpha) > count:
            low = middle
        else:
            high = middle
    return high
