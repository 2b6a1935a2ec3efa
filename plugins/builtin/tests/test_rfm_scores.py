"""rfm.scores: hand-worked quintiles."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta

import pytest
from rapport_sdk import Profile
from rapport_testing import FakeClock, contact, event
from rapport_testing.runner import TraitRunner

from services.kit.plugins import PluginError

DAY = timedelta(days=1)
UNKNOWN = {"rfm_recency": None, "rfm_frequency": None, "rfm_monetary": None, "rfm_score": None}


def buyer(clock: FakeClock, days_ago: int, *amounts: str) -> Profile:
    return contact(*(event("order.placed", clock.now - days_ago * DAY, amount) for amount in amounts))


def test_ten_customers_fall_into_fifths(trait_runner: TraitRunner, fake_clock: FakeClock) -> None:
    # Customer n bought n days ago, 11 - n times, for n each: the newest is the most frequent.
    customers = [buyer(fake_clock, n, *[str(n)] * (11 - n)) for n in range(1, 11)]
    scores = trait_runner("rfm.scores", customers)
    assert [row["rfm_recency"] for row in scores] == [5, 5, 4, 4, 3, 3, 2, 2, 1, 1]
    assert [row["rfm_frequency"] for row in scores] == [5, 5, 4, 4, 3, 3, 2, 2, 1, 1]
    # Spends 10 18 24 28 30 30 28 24 18 10: each fifth is a pair of equals.
    assert [row["rfm_monetary"] for row in scores] == [1, 2, 3, 4, 5, 5, 4, 3, 2, 1]
    assert [row["rfm_score"] for row in scores] == [551, 552, 443, 444, 335, 335, 224, 223, 112, 111]


def test_who_did_not_buy_in_the_window_is_unknown_and_does_not_count(
    trait_runner: TraitRunner, fake_clock: FakeClock
) -> None:
    buyers = [buyer(fake_clock, n, "10") for n in range(5)]
    others = [
        contact(),
        buyer(fake_clock, 365, "10"),
        contact(event("order.placed", fake_clock.now + DAY, "10")),
        contact(event("page.visited", fake_clock.now)),
    ]
    scores = trait_runner("rfm.scores", [*others, *buyers])
    assert scores[:4] == [UNKNOWN] * 4
    assert [row["rfm_recency"] for row in scores[4:]] == [5, 4, 3, 2, 1]


def test_equals_are_told_apart_by_contact_id(trait_runner: TraitRunner, fake_clock: FakeClock) -> None:
    customers = sorted((buyer(fake_clock, 3, "7") for _ in range(5)), key=lambda item: item.contact_id.hex)
    scores = trait_runner("rfm.scores", customers)
    assert [row["rfm_score"] for row in scores] == [111, 222, 333, 444, 555]


def test_fewer_than_five(trait_runner: TraitRunner, fake_clock: FakeClock) -> None:
    scores = trait_runner("rfm.scores", [buyer(fake_clock, 1, "5"), buyer(fake_clock, 2, "3", "3")])
    assert [row["rfm_score"] for row in scores] == [211, 122]


def test_nobody(trait_runner: TraitRunner) -> None:
    assert trait_runner("rfm.scores", []) == []


class TestWindow:
    @pytest.fixture
    def plugin_environment(self) -> Mapping[str, str]:
        return {"RAPPORT_PLUGIN_RFM_WINDOW_DAYS": "10"}

    def test_is_a_setting(self, trait_runner: TraitRunner, fake_clock: FakeClock) -> None:
        scores = trait_runner("rfm.scores", [buyer(fake_clock, 9, "5"), buyer(fake_clock, 11, "6")])
        assert [row["rfm_recency"] for row in scores] == [1, None]


class TestBadWindow:
    @pytest.fixture
    def plugin_environment(self) -> Mapping[str, str]:
        return {"RAPPORT_PLUGIN_RFM_WINDOW_DAYS": "0"}

    def test_fails_rather_than_scores(self, trait_runner: TraitRunner) -> None:
        with pytest.raises(PluginError, match="window_days is 0"):
            trait_runner("rfm.scores", [])
