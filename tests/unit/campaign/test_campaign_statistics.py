"""The statistics of experiments against textbooks, other libraries and simulation."""

from __future__ import annotations

import math
from datetime import timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.campaign.domain.statistics import (
    Amounts,
    compare_amounts,
    compare_rates,
    detectable,
    fisher,
    newcombe,
    size_per_group,
    wilson,
)
from services.campaign.domain.verdicts import plan_size

# SciPy and NumPy are imported where they are used: all processes of a run collect all tests, and they take long.
counts = st.integers(1, 400).flatmap(lambda count: st.tuples(st.integers(0, count), st.just(count)))


# Newcombe 1998, table II, method 10.
@pytest.mark.parametrize(
    ("table", "low", "high"),
    [
        ((56, 70, 48, 80), 0.0524, 0.3339),
        ((9, 10, 3, 10), 0.1705, 0.8090),
        ((6, 7, 2, 7), 0.0582, 0.8062),
        ((5, 56, 0, 29), -0.0381, 0.1926),
        ((0, 10, 0, 20), -0.1611, 0.2775),
        ((10, 10, 0, 20), 0.6791, 1.0),
    ],
)
def test_intervals_of_differences_are_those_of_newcombe(
    table: tuple[int, int, int, int], low: float, high: float
) -> None:
    found = newcombe(*table)
    assert (found.low, found.high) == pytest.approx((low, high), abs=6e-5)


@settings(max_examples=40, deadline=None)
@given(counts)
def test_wilson_is_that_of_scipy(pair: tuple[int, int]) -> None:
    from scipy import stats

    hits, count = pair
    found = wilson(hits, count)
    expected = stats.binomtest(hits, count).proportion_ci(0.95, "wilson")
    assert (found.low, found.high) == pytest.approx((expected.low, expected.high), abs=1e-9)


@settings(max_examples=40, deadline=None)
@given(counts, counts)
def test_tests_of_rates_are_those_of_scipy(one: tuple[int, int], two: tuple[int, int]) -> None:
    from scipy import stats

    table = [[one[0], one[1] - one[0]], [two[0], two[1] - two[0]]]
    assert fisher(*one, *two) == pytest.approx(stats.fisher_exact(table).pvalue, rel=1e-6, abs=1e-12)
    found = compare_rates(*one, *two, alpha=0.05)
    assert found.interval.low <= found.difference <= found.interval.high
    if found.method.startswith("pooled"):
        expected = stats.chi2_contingency(table, correction=False)
        assert expected.expected_freq.min() >= 5
        assert found.p_value == pytest.approx(expected.pvalue, rel=1e-6, abs=1e-12)
    else:
        assert found.p_value == fisher(*one, *two)


def amounts(values: list[float]) -> Amounts:
    return Amounts(len(values), sum(values), sum(value * value for value in values), max(values, default=0.0))


@settings(max_examples=40, deadline=None)
@given(
    st.lists(st.integers(0, 500), min_size=2, max_size=40),
    st.lists(st.integers(0, 500), min_size=2, max_size=40),
)
def test_welch_is_that_of_scipy(one: list[int], two: list[int]) -> None:
    from scipy import stats

    if len(set(one)) == 1 and len(set(two)) == 1:
        return
    found = compare_amounts(amounts([float(x) for x in one]), amounts([float(x) for x in two]), 0.05)
    expected = stats.ttest_ind(one, two, equal_var=False)
    interval = expected.confidence_interval(0.95)
    assert found.p_value == pytest.approx(expected.pvalue, rel=1e-6, abs=1e-9)
    assert (found.interval.low, found.interval.high) == pytest.approx(
        (interval.low, interval.high), rel=1e-6, abs=1e-6
    )


def test_amounts_that_cannot_be_compared_decide_nothing() -> None:
    for one, two in ((amounts([1.0]), amounts([2.0, 3.0])), (amounts([2.0, 2.0]), amounts([2.0, 2.0]))):
        found = compare_amounts(one, two, 0.05)
        assert found.p_value == 1.0
        assert not found.significant


def test_nobody_decides_nothing() -> None:
    assert (wilson(0, 0).low, wilson(0, 0).high) == (0.0, 1.0)
    assert not compare_rates(0, 0, 5, 10, 0.05).significant


# R: power.prop.test(p1 = .50, p2 = .75, power = .90) gives n = 76.65; Fleiss's tables agree.
def test_sizes_are_those_of_r() -> None:
    assert size_per_group(0.5, 0.25, 0.9, 0.05) == 77
    assert size_per_group(0.02, 0.005, 0.8, 0.05) == 13809
    assert detectable(0.02, 13809, 0.8, 0.05) == pytest.approx(0.005, rel=1e-4)
    assert detectable(0.02, 1, 0.8, 0.05) == 0.0


def test_intervals_hold_the_truth_as_often_as_they_say() -> None:
    """4,000 drawn experiments: nominal 95 %, and no more false alarms than alpha; the bounds are 4 standard errors."""
    import numpy as np

    draw = np.random.default_rng(7)
    rate, effect, count, rounds = 0.03, 0.01, 3_000, 4_000
    ones, twos = draw.binomial(count, rate + effect, rounds), draw.binomial(count, rate, rounds)
    held = sum(
        found.low <= effect <= found.high
        for one, two in zip(ones.tolist(), twos.tolist(), strict=True)
        for found in [newcombe(one, count, two, count)]
    )
    error = 4 * math.sqrt(0.95 * 0.05 / rounds)
    assert abs(held / rounds - 0.95) < error
    others = draw.binomial(count, rate, rounds)
    alarms = sum(
        compare_rates(one, count, two, count, 0.05).significant
        for one, two in zip(others.tolist(), twos.tolist(), strict=True)
    )
    assert alarms / rounds < 0.05 + error


def test_a_planned_experiment_finds_what_it_was_planned_for() -> None:
    import numpy as np

    draw = np.random.default_rng(11)
    count, rounds = size_per_group(0.1, 0.04, 0.8, 0.05), 2_000
    ones, twos = draw.binomial(count, 0.14, rounds), draw.binomial(count, 0.1, rounds)
    found = sum(
        compare_rates(one, count, two, count, 0.05).significant
        for one, two in zip(ones.tolist(), twos.tolist(), strict=True)
    )
    assert abs(found / rounds - 0.8) < 4 * math.sqrt(0.8 * 0.2 / rounds)


def test_a_plan_is_said_in_words() -> None:
    plan = plan_size(
        rate=0.02,
        effect=0.005,
        power=0.8,
        alpha=0.05,
        arms=3,
        audience=100_000,
        per_day=10_000,
        window=timedelta(days=3),
    )
    assert plan.per_arm > 13809  # two comparisons share alpha
    assert plan.alpha == 0.025
    assert plan.total == 3 * plan.per_arm
    assert plan.test_percent == pytest.approx(plan.total / 1000)
    assert plan.duration == timedelta(days=3 + plan.total / 10_000)
    assert "Bonferroni: 0.025 each" in plan.summary
    small = plan_size(
        rate=0.02, effect=0.005, power=0.8, alpha=0.05, arms=2, audience=200, per_day=0, window=timedelta(1)
    )
    assert "too small" in small.summary
