"""loyalty.tier: hand-worked answers, both forms, settings."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from decimal import Decimal

import pytest
import rapport_loyalty
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from rapport_sdk import Profile
from rapport_testing import FakeClock, assert_plugin_conforms, contact, event
from rapport_testing.runner import RuleRunner

from services.kit.plugins import PluginError

YEAR = timedelta(days=365)
MICROSECOND = timedelta(microseconds=1)


def order(at: datetime, amount: str | None) -> object:
    return event("order.placed", at, amount)


def test_conforms() -> None:
    record = assert_plugin_conforms(rapport_loyalty, "loyalty")
    assert [item.name for item in record.objects] == ["loyalty.tier"]


def test_tiers_by_spend(rule_runner: RuleRunner, fake_clock: FakeClock) -> None:
    recently = fake_clock.now - timedelta(days=10)
    contacts = [
        contact(event("order.placed", recently, "1000")),
        contact(event("order.placed", recently, "400"), event("order.placed", recently, "600.00")),
        contact(event("order.placed", recently, "999.99")),
        contact(event("order.placed", recently, "499.99")),
        contact(event("order.placed", recently, "99.99")),
        contact(),
        contact(event("order.placed", recently)),
        contact(event("payment.received", recently, "5000")),
    ]
    tiers = rule_runner("loyalty.tier", contacts)
    assert tiers == ["gold", "gold", "silver", "bronze", "none", "none", "none", "none"]


def test_an_order_counts_until_exactly_a_year_is_over(rule_runner: RuleRunner, fake_clock: FakeClock) -> None:
    now = fake_clock.now
    contacts = [
        contact(event("order.placed", now - YEAR + MICROSECOND, "1000")),
        contact(event("order.placed", now - YEAR, "1000")),
        contact(event("order.placed", now, "1000")),
        contact(event("order.placed", now + MICROSECOND, "1000")),
    ]
    answers = rule_runner.answers("loyalty.tier", contacts)
    assert [answer.value for answer in answers] == ["gold", "none", "gold", "none"]
    assert [answer.next_change for answer in answers] == [
        now + MICROSECOND,
        None,
        now + YEAR,
        now + MICROSECOND,
    ]


def test_downgrade_step_by_step(rule_runner: RuleRunner, fake_clock: FakeClock) -> None:
    first, second = fake_clock.now, fake_clock.now + timedelta(days=30)
    customer = contact(event("order.placed", first, "600"), event("order.placed", second, "500"))
    seen = [
        rule_runner("loyalty.tier", [customer], now=moment)[0]
        for moment in (first, second, first + YEAR - MICROSECOND, first + YEAR, second + YEAR)
    ]
    assert seen == ["silver", "gold", "gold", "silver", "none"]


class TestSettings:
    @pytest.fixture
    def plugin_environment(self) -> Mapping[str, str]:
        return {
            "RAPPORT_PLUGIN_LOYALTY_GOLD_FROM": "50.5",
            "RAPPORT_PLUGIN_LOYALTY_SILVER_FROM": "20",
            "RAPPORT_PLUGIN_LOYALTY_BRONZE_FROM": "0",
        }

    def test_limits_are_settings(self, rule_runner: RuleRunner, fake_clock: FakeClock) -> None:
        contacts = [
            contact(event("order.placed", fake_clock.now, amount)) for amount in ("50.5", "50.49", "19")
        ]
        assert rule_runner("loyalty.tier", [*contacts, contact()]) == ["gold", "silver", "bronze", "bronze"]


class TestSettingsOutOfOrder:
    @pytest.fixture
    def plugin_environment(self) -> Mapping[str, str]:
        return {"RAPPORT_PLUGIN_LOYALTY_GOLD_FROM": "10"}

    def test_the_rule_fails_rather_than_answer(self, rule_runner: RuleRunner) -> None:
        with pytest.raises(PluginError, match="settings out of order: gold_from 10, silver_from 500"):
            rule_runner("loyalty.tier", [contact()])


orders = st.lists(
    st.tuples(
        st.sampled_from([-YEAR, -YEAR + MICROSECOND, -timedelta(days=1), timedelta(0), MICROSECOND, YEAR]),
        st.one_of(st.none(), st.decimals(Decimal("-50"), Decimal("1200"), places=2)),
    ),
    max_size=4,
)


@given(st.lists(orders, min_size=1, max_size=12))
@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_sql_and_python_agree_on_anything(
    rule_runner: RuleRunner, fake_clock: FakeClock, histories: list[list[tuple[timedelta, Decimal | None]]]
) -> None:
    contacts: list[Profile] = [
        contact(*(event("order.placed", fake_clock.now + age, amount) for age, amount in history))
        for history in histories
    ]
    assert len(rule_runner("loyalty.tier", contacts)) == len(contacts)
