"""`rapport segments insight` against a served segmentation service."""

from __future__ import annotations

import json
import re
from datetime import timedelta

import pytest

from services.segmentation.context import service_of
from tests.integration.cli.conftest import Office
from tests.support.segmentation import NOW, World, contact, contact_id, order
from tests.support.waiting import until


@pytest.fixture(scope="module")
def shop(segmentation: Office) -> Office:
    """Forty contacts: ten in Vietnam, who ordered in January, five of them in February again; the segment of them."""
    made = World(service_of(segmentation.served.runtime), segmentation.served.clock)
    made.deliver(*(contact(contact_id(n), region_code="VN" if n < 10 else "US") for n in range(40)))
    made.deliver(*(order(contact_id(n), NOW - timedelta(days=40), "1234.50") for n in range(10)))
    made.deliver(*(order(contact_id(n), NOW - timedelta(days=10), "0.25") for n in range(5)))
    made.define("buyers", "events.order_placed.size() > 0", build=False)
    until(lambda: len(made.members("buyers")) == 10, "the worker has built the segment")
    return segmentation


def test_distribution(shop: Office) -> None:
    ran = shop.rapport("segments", "insight", "distribution", "segments/buyers", "region_code")
    assert (ran.code, ran.err) == (0, "")
    assert "region_code of 10 members, beside 40 contacts" in ran.out
    # 2.5 members are expected in VN: too few to speak of chance, however clear the difference.
    assert re.search(r"VN\W+10\W+100\.0 %\W+█+\W+25\.0 %\W+4\.00 ", ran.out)
    assert re.search(r"US\W+0\W+0\.0 %\W+75\.0 %\W+0\.00 ", ran.out)
    short = shop.rapport("segments", "insight", "distribution", "buyers", "region_code")
    assert short == ran
    everybody = shop.rapport("segments", "insight", "distribution", "true", "region_code")
    assert "region_code of 40 members" in everybody.out
    missing = shop.rapport("segments", "create", "others", '!in_segment("segments/buyer")')
    assert "there is no segment segments/buyer: did you mean segments/buyers?" in missing.err
    answer = json.loads(
        shop.rapport("segments", "insight", "distribution", "segments/buyers", "region_code", "--json").out
    )
    assert (answer["members"], answer["contacts"], answer["type"]) == (10, 40, "string")
    assert [(g["value"], g["members"], g["lift"], g["significant"]) for g in answer["groups"]] == [
        ("VN", 10, 4.0, False),
        ("US", 0, 0.0, False),
    ]


def test_distribution_of_a_number(shop: Office) -> None:
    rule = "contact.order_count > 0"
    arguments = ("segments", "insight", "distribution", rule, "total_spent", "--limits", "0.01,1234.75")
    ran = shop.rapport(*arguments)
    assert (ran.code, ran.err) == (0, "")
    assert "below 0.01" in ran.out
    assert "0.01 to below 1234.75" in ran.out
    assert "1234.75 and above" in ran.out
    groups = json.loads(shop.rapport(*arguments, "--json").out)["groups"]
    assert [(g["bin"], g["members"], g["contacts"]) for g in groups] == [
        ({"low": None, "high": "0.01"}, 0, 30),
        ({"low": "0.01", "high": "1234.75"}, 5, 5),
        ({"low": "1234.75", "high": None}, 5, 5),
    ]


def test_cohorts(shop: Office) -> None:
    ran = shop.rapport("segments", "insight", "cohorts", "--of", "segments/buyers")
    assert (ran.code, ran.err) == (0, "")
    assert re.search(r"2026-01\W+10\W+100\W+50\W+0…", ran.out)
    answer = json.loads(shop.rapport("segments", "insight", "cohorts", "--json").out)
    assert answer["time_zone"] == "UTC"
    (cohort,) = answer["cohorts"]
    assert (cohort["start"], cohort["contacts"]) == ("2026-01-01", 10)
    assert [(p["active"], p["amount"], p["complete"]) for p in cohort["periods"]] == [
        (10, "12345", True),
        (5, "1.25", True),
        (0, "0", False),
    ]
    weekly = shop.rapport("segments", "insight", "cohorts", "--period", "week", "--count", "2")
    assert "nobody has such an event" in weekly.out


def test_rfm(shop: Office) -> None:
    ran = shop.rapport("segments", "insight", "rfm")
    assert (ran.code, ran.err) == (0, "")
    assert "frequency 5" in ran.out
    answer = json.loads(shop.rapport("segments", "insight", "rfm", "--json").out)
    assert len(answer["cells"]) == 25
    assert answer["unscored"] + sum(cell["contacts"] for cell in answer["cells"]) == 40


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (("distribution", "segments/buyers", "regoin_code"), 1, "did you mean region_code?"),
        (("distribution", "segments/none", "kind"), 1, "segments/none"),
        (("distribution", "contact.agee > 1", "kind"), 1, "did you mean age?"),
        (("distribution", "true", "age", "--limits", "a,b"), 2, "expected numbers"),
        (("distribution", "true", "age", "--limits", "2,1"), 1, "must ascend"),
        (("cohorts", "--first", "order.place"), 1, "did you mean order.placed?"),
        (("cohorts", "--period", "year"), 2, "year"),
    ],
    ids=lambda value: str(value)[:40],
)
def test_what_cannot_be_is_said(shop: Office, arguments: tuple[str, ...], code: int, said: str) -> None:
    ran = shop.rapport("segments", "insight", *arguments)
    assert (ran.code, ran.out) == (code, "")
    assert said in ran.err
