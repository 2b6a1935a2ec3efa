"""template.bought_lately, by the test kit."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta

import pytest
import rapport_template
from rapport_testing import FakeClock, assert_plugin_conforms, contact, event
from rapport_testing.runner import RuleRunner

DAY = timedelta(days=1)


@pytest.fixture
def plugin_modules() -> Mapping[str, str]:
    """Find the plugin though it may not be installed."""
    return {"template": "rapport_template"}


def test_conforms() -> None:
    assert_plugin_conforms(rapport_template, "template")


def test_bought_lately(rule_runner: RuleRunner, fake_clock: FakeClock) -> None:
    now = fake_clock.now
    contacts = [
        contact(event("order.placed", now - 30 * DAY)),
        contact(event("order.placed", now - 29 * DAY), event("order.placed", now - 90 * DAY)),
        contact(),
    ]
    answers = rule_runner.answers("template.bought_lately", contacts, params=[30])
    assert [answer.value for answer in answers] == [False, True, False]
    assert [answer.next_change for answer in answers] == [None, now + DAY, None]


@pytest.mark.parametrize("days", [0, -1, 36_501, 2**62])
def test_a_period_that_dates_cannot_hold_is_refused(days: int) -> None:
    with pytest.raises(ValueError, match=f"days must be from 1 to 36500, not {days}"):
        rapport_template.period_of(days)
