"""Coupon codes, consent, back-off, and states of campaigns."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.campaign.domain import campaigns, ledger
from services.campaign.domain.coupons import ALPHABET, check_character, key_of, new_code
from services.campaign.domain.ids import RuleError, check_id, check_topic, one_line

NOW = datetime(2026, 3, 1, tzinfo=UTC)
BODY = st.text(ALPHABET, min_size=13, max_size=13)


def test_codes_differ_and_are_found_however_they_are_typed():
    codes = {new_code("LOYAL10") for _ in range(1000)}
    assert len({key_of(code) for code in codes}) == 1000
    for code in codes:
        assert code.startswith("LOYAL10")
        typed = "-".join(code[start : start + 4] for start in range(0, len(code), 4)).lower()
        assert key_of(f" {typed} ") == key_of(code) == key_of(code.replace("0", "O").replace("1", "l"))


@given(BODY, st.integers(0, 13), st.sampled_from(ALPHABET))
def test_one_wrong_character_is_noticed(body: str, place: int, other: str):
    code = body + check_character(body)
    changed = code[:place] + other + code[place + 1 :]
    assert key_of(code) == code
    assert (key_of(changed) is None) == (changed != code)


@given(st.text(max_size=80))
def test_any_text_is_a_code_or_none(text: str):
    key = key_of(text)
    assert key is None or key_of(key) == key


@pytest.mark.parametrize(
    ("topic", "consent", "problem"),
    [
        ("marketing", "granted", ""),
        ("marketing", "", "NO_CONSENT"),
        ("marketing", "denied", "CONSENT_DENIED"),
        ("transactional", "", ""),
        ("transactional", "granted", ""),
        ("transactional", "denied", "CONSENT_DENIED"),
    ],
)
def test_consent(topic: str, consent: str, problem: str):
    assert ledger.consent_problem(topic, consent) == problem


def test_delays_grow_to_a_limit():
    delays = [ledger.next_delay(attempt, lambda low, high: 1.0) for attempt in range(1, 40)]
    assert delays[:3] == [timedelta(minutes=1), timedelta(minutes=2), timedelta(minutes=4)]
    assert delays == sorted(delays)
    assert delays[-1] == timedelta(hours=4)
    assert {ledger.next_delay(3) for _ in range(20)} != {ledger.next_delay(3)}


def test_lanes():
    assert ledger.lane_of("requests/a") == ledger.lane_of("requests/b") == "requests"
    assert ledger.lane_of("campaigns/a") == "campaigns/a"


@pytest.mark.parametrize("text", ["", "A", "1a", "a b", "a/b", "a" * 64, "-a", "a\n"])
def test_ids_that_are_refused(text: str):
    with pytest.raises(RuleError):
        check_id(text)
    with pytest.raises(RuleError):
        check_topic(text)


def test_one_line():
    assert one_line(" a\r\n\tb\u2028c ") == "a b c"


def campaign(state: str, *, planned: bool = True) -> campaigns.Campaign:
    return campaigns.Campaign(
        id="a",
        display_name="",
        segment="segments/a",
        template_id="t",
        channel="c",
        topic="marketing",
        coupon_pool_id="",
        state=state,
        planned=planned,
        create_time=NOW,
        launch_time=None,
    )


ALLOWED = {
    "launch": {"draft": "planning"},
    "pause": {"planning": "paused", "sending": "paused", "paused": "paused"},
    "resume": {"paused": "sending", "planning": "planning", "sending": "sending"},
    "schedule": {"draft": "scheduled", "scheduled": "scheduled"},
    "unschedule": {"draft": "draft", "scheduled": "draft"},
    "start": {"scheduled": "planning"},
    "cancel": dict.fromkeys(
        ("draft", "scheduled", "planning", "sending", "paused", "cancelled"), "cancelled"
    ),
}


@pytest.mark.parametrize("action", ALLOWED)
@pytest.mark.parametrize(
    "state", ["draft", "scheduled", "planning", "sending", "paused", "done", "cancelled"]
)
def test_states_of_a_campaign(action: str, state: str):
    if state in ALLOWED[action]:
        assert campaigns.after(action, campaign(state)) == ALLOWED[action][state]
    else:
        with pytest.raises(campaigns.StateError, match=state):
            campaigns.after(action, campaign(state))


def test_a_campaign_paused_while_planned_goes_on_planning():
    assert campaigns.after("resume", campaign("paused", planned=False)) == "planning"
