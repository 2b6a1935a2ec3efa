"""`rapport segments explain` against a served segmentation service."""

from __future__ import annotations

import json
from datetime import timedelta

import pytest

from services.segmentation.context import service_of
from tests.integration.cli.conftest import Office
from tests.support.segmentation import NOW, World, contact, contact_id, days, order

KEY = contact_id(1)
RULE = """contact.region_code == "VN"
    && (events.order_placed.filter(o, now - o.time <= days(30)).size() >= 2 || !has(contact.gender))"""


@pytest.fixture(scope="module")
def office(segmentation: Office) -> Office:
    """A contact in the segment `two`, and one without orders; nothing changes meanwhile."""
    made = World(service_of(segmentation.served.runtime), segmentation.served.clock)
    made.deliver(contact(KEY, region_code="VN", gender="female"), contact(contact_id(2)))
    made.deliver(order(KEY, NOW - days(20)), order(KEY, NOW - days(2)), order(KEY, NOW - days(50)))
    assert segmentation.rapport("segments", "create", "two", RULE).code == 0
    return segmentation


def test_explain_draws_the_rule_with_its_facts(office: Office) -> None:
    ran = office.rapport("segments", "explain", "two", str(KEY))
    assert (ran.code, ran.err) == (0, "")
    text = " ".join(ran.out.split())
    assert f"✔ contacts/{KEY} belongs to segments/two (version 1)" in text
    assert "member since 2026-03-01T12:00:00Z" in text
    for words in (
        '✔ contact.region_code == "VN"',
        'contact.region_code = "VN"',
        "✔ any of",
        "✔ events.order_placed.filter(o, now - o.time <= days(30)).size() >= 2",
        "2 of 3 order_placed events count (count)",
        "✘ not",
        "✔ has(contact.gender)",
        "it would turn if there were:",
        'contact.region_code to be other than "VN"',
        f"by itself it turns to FALSE at {(NOW + days(10)).isoformat()[:19]}.000001Z",
    ):
        assert words in text, words


def test_explain_a_rule_as_of_a_time(office: Office) -> None:
    then = (NOW - days(10)).isoformat()
    # What was known first reaches back: the orders of then are fewer.
    ran = office.rapport("segments", "explain", f"contacts/{KEY}", "--rule", RULE, "--as-of", then)
    assert (ran.code, ran.err) == (0, "")
    text = " ".join(ran.out.split())
    assert f"✘ contacts/{KEY} does not meet the rule as of 2026-02-19T12:00:00Z" in text
    assert "nearest that does not: 2026-01-10T12:00:00Z" in text
    assert "one more order_placed event within 30 days" in text


def test_the_answer_of_a_plugin_is_told_once(office: Office) -> None:
    for rule in ('loyalty.tier(contact) == "gold"', 'loyalty.tier( contact ) in ["gold", "silver"]'):
        ran = office.rapport("segments", "explain", str(KEY), "--rule", rule)
        assert (ran.code, ran.err) == (0, "")
        facts = [line for line in ran.out.splitlines() if " = " in line and "loyalty.tier" in line]
        assert len(facts) == 1, ran.out
        assert "loyalty.tier(contact) = " in facts[0]


def test_explain_a_list(office: Office) -> None:
    for arguments in (("create", "friends", "--list"), ("add", "friends", str(KEY))):
        assert office.rapport("segments", *arguments).code == 0
    ran = office.rapport("segments", "explain", "friends", str(KEY))
    assert (ran.code, ran.err) == (0, "")
    text = " ".join(ran.out.split())
    for words in (
        f"✔ contacts/{KEY} belongs to segments/friends (version 1) as of 2026-03-01T12:00:00Z; "
        "member since 2026-03-01T12:00:00Z",
        '✔ in_segment("segments/friends")',
        "a member of segments/friends since 2026-03-01T12:00:00Z",
        "to be taken out of the list segments/friends",
        "by itself it never turns",
    ):
        assert words in text, words
    then = (NOW - days(1)).isoformat()
    before = office.rapport("segments", "explain", "friends", str(KEY), "--as-of", then)
    assert (before.code, before.err) == (0, "")
    text = " ".join(before.out.split())
    assert f"✘ contacts/{KEY} does not belong to segments/friends" in text
    assert "not a member of segments/friends" in text
    assert "to be put into the list segments/friends" in text


def test_explain_as_json(office: Office) -> None:
    ran = office.rapport("segments", "explain", "segments/two", str(contact_id(2)), "--json")
    assert (ran.code, ran.err) == (0, "")
    answer = json.loads(ran.out)
    assert answer["outcome"] == "TRUTH_FALSE"
    assert [leaf["value"] for leaf in answer["leaves"]] == ["TRUTH_FALSE"] * 3
    assert answer["changes"][0]["hint"] == 'contact.region_code to be "VN" (now missing)'


def test_explain_says_what_is_wrong(office: Office) -> None:
    wrong = office.rapport("segments", "explain", str(KEY))
    assert wrong.code == 1
    assert "give a segment and a contact, or --rule and a contact" in wrong.err
    unknown = office.rapport("segments", "explain", "two", str(contact_id(9)))
    assert unknown.code == 1
    assert f"contacts/{contact_id(9)} does not exist" in unknown.err
    early = (NOW - timedelta(days=2000)).isoformat()
    before = office.rapport("segments", "explain", "two", str(KEY), "--as-of", early)
    assert before.code == 1
    assert "BEFORE_RETENTION" in before.err
