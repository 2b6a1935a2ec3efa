"""Shares and how sure they are."""

from __future__ import annotations

from math import sqrt

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.segmentation.statistics import Z_95, compare, wilson_interval


@pytest.mark.parametrize(
    ("successes", "trials", "low", "high"),
    [
        # R. G. Newcombe, "Two-sided confidence intervals for the single proportion", Statistics in Medicine 17 (1998),
        # table I, method 3 (score without continuity correction).
        (81, 263, 0.2553, 0.3662),
        (15, 148, 0.0624, 0.1605),
        (0, 20, 0.0000, 0.1611),
        (1, 29, 0.0061, 0.1718),
    ],
)
def test_the_interval_is_that_of_the_literature(successes: int, trials: int, low: float, high: float) -> None:
    assert wilson_interval(successes, trials) == pytest.approx((low, high), abs=5e-5)


COUNTS = st.integers(1, 10_000).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n)))


@given(COUNTS)
def test_its_ends_are_where_the_score_test_just_passes(counts: tuple[int, int]) -> None:
    successes, trials = counts
    share = successes / trials
    low, high = wilson_interval(successes, trials)
    assert 0 <= low <= share <= high <= 1
    for end in (low, high):
        if 0 < end < 1:
            assert abs(share - end) / sqrt(end * (1 - end) / trials) == pytest.approx(Z_95, rel=1e-6)


@given(COUNTS, COUNTS)
def test_groups_are_marked_when_they_differ_and_are_large_enough(
    group: tuple[int, int], rest: tuple[int, int]
) -> None:
    members, all_members = group
    contacts, all_contacts = members + rest[0], all_members + rest[1]
    share = compare(members, all_members, contacts, all_contacts)
    assert share.lift == pytest.approx(share.members / share.contacts) if contacts else share.lift == 0
    expected = all_members * contacts / all_contacts
    if share.significant:
        assert not share.low <= share.contacts <= share.high
        assert min(expected, all_members - expected) >= 5 - 1e-9
    else:
        assert share.low <= share.contacts <= share.high or min(expected, all_members - expected) < 5 + 1e-9


def test_nobody_is_no_error() -> None:
    assert wilson_interval(0, 0) == (0, 1)
    share = compare(0, 0, 3, 10)
    assert (share.members, share.lift, share.significant) == (0, 0, False)
    assert compare(0, 0, 0, 0).contacts == 0
