"""How sure one can be of a share that was counted."""

from __future__ import annotations

from dataclasses import dataclass
from math import sqrt

Z_95 = 1.959963984540054
"""Quantile of the standard normal distribution that leaves 2.5 % above it."""
LEAST_EXPECTED = 5


@dataclass(frozen=True, slots=True)
class Share:
    """Tell how a group's share of members compares with its share of all.

    low, high: the 95 % interval of `members`; lift: members / contacts, 0 without members.
    """

    members: float
    contacts: float
    lift: float
    low: float
    high: float
    significant: bool


def wilson_interval(successes: int, trials: int, z: float = Z_95) -> tuple[float, float]:
    """Return the score interval of a proportion; (0, 1) without trials.

    E. B. Wilson, "Probable Inference, the Law of Succession, and Statistical Inference", Journal of the American
    Statistical Association 22 (1927), 209-212: the proportions p whose score test (successes/trials - p) /
    sqrt(p (1 - p) / trials) does not exceed z.
    """
    if not trials:
        return 0.0, 1.0
    share, square = successes / trials, z * z / trials
    middle = (share + square / 2) / (1 + square)
    half = z / (1 + square) * sqrt(share * (1 - share) / trials + square / (4 * trials))
    # The ends are exact there; rounding must not move them past the share itself.
    low = 0.0 if successes == 0 else min(share, middle - half)
    high = 1.0 if successes == trials else max(share, middle + half)
    return max(0.0, low), min(1.0, high)


def compare(members: int, all_members: int, contacts: int, all_contacts: int) -> Share:
    """Compare a group's share of a segment with its share of everybody.

    The difference is significant when the share of everybody, taken as known, lies outside the interval, and at least
    5 members are expected inside and outside of the group (W. G. Cochran, "Some Methods for Strengthening the Common
    chi-squared Tests", Biometrics 10 (1954), 417-451). As members are drawn from everybody without being put back, the
    interval is wider than it need be for a segment that is a large part of everybody, never narrower.
    """
    base = contacts / all_contacts if all_contacts else 0.0
    share = members / all_members if all_members else 0.0
    low, high = wilson_interval(members, all_members)
    expected = all_members * base
    enough = expected >= LEAST_EXPECTED and all_members - expected >= LEAST_EXPECTED
    lift = share / base if base else 0.0
    return Share(share, base, lift, low, high, enough and not low <= base <= high)
