"""What is stored: values are checked and brought to one form; what does not fit is named."""

from __future__ import annotations

import json
import re
from datetime import UTC, date, datetime, timedelta, timezone
from decimal import Decimal
from typing import Any
from uuid import UUID

import pytest

from services.segmentation.rules import (
    Attribute,
    Event,
    EventType,
    Profile,
    ProfileError,
    Registry,
    Trait,
    compile_rule,
    encode_attributes,
    encode_event,
    encode_traits,
    profile_row,
)

REGISTRY = Registry(
    attributes=(
        Attribute("score", "double"),
        Attribute("visits", "int"),
        Attribute("nick", "string"),
        Attribute("joined", "timestamp"),
        Attribute("colors", "strings"),
        Attribute("vip", "bool"),
    ),
    event_types=(
        EventType.parse(
            "order.placed", {"category": "string", "amount": "double", "fee": "double?", "due": "timestamp?"}
        ),
    ),
    traits=(Trait("rfm", "int"),),
)
NOW = datetime(2026, 3, 1, 8, tzinfo=timezone(timedelta(hours=7)))


def test_an_event_as_stored() -> None:
    payload = {
        "category": "e\u0301",
        "amount": Decimal("12.50"),
        "fee": Decimal("0.10"),
        "due": NOW,
        "other": object(),
    }
    stored = encode_event(REGISTRY, Event("order.placed", NOW, payload))
    assert stored.occurred_at == NOW
    assert stored.occurred_at.tzinfo is UTC
    assert (stored.category, stored.amount) == ("é", Decimal("12.50"))
    assert stored.payload == '{"due": "2026-03-01T01:00:00.000000Z", "fee": 0.10}'
    plain = encode_event(REGISTRY, Event("order.placed", NOW, {"category": "a", "amount": 0.1}))
    assert (plain.amount, plain.payload) == (Decimal("0.1"), "{}")


BAD_EVENTS: list[tuple[str, dict[str, Any], str]] = [
    ("order.lost", {}, "no event type 'order.lost'"),
    ("order.placed", {"category": "a"}, "amount of order.placed: the value is missing"),
    ("order.placed", {"category": "a", "amount": "1"}, "amount of order.placed: '1' is not of type double"),
    ("order.placed", {"category": "a", "amount": float("nan")}, "not a finite number"),
    ("order.placed", {"category": "a", "amount": float("inf")}, "not a finite number"),
    ("order.placed", {"category": "a", "amount": Decimal("1e30")}, "out of range"),
    ("order.placed", {"category": "a", "amount": 1e30}, "out of range"),
    ("order.placed", {"category": "a", "amount": Decimal("1e-19")}, "out of range"),
    ("order.placed", {"category": "a", "amount": True}, "not of type double"),
    ("order.placed", {"category": "a\0", "amount": 1}, "cannot contain U+0000"),
    ("order.placed", {"category": "\ud800", "amount": 1}, "lone surrogates"),
    ("order.placed", {"category": "a", "amount": 1, "due": datetime(2026, 1, 1)}, "has no time zone"),
    ("order.placed", {"category": "a", "amount": 1, "due": datetime(1, 1, 1, tzinfo=UTC)}, "out of range"),
]


@pytest.mark.parametrize(("kind", "payload", "message"), BAD_EVENTS)
def test_events_that_do_not_fit(kind: str, payload: dict[str, Any], message: str) -> None:
    with pytest.raises(ProfileError, match=re.escape(message)):
        encode_event(REGISTRY, Event(kind, NOW, payload))


def test_attributes_as_stored() -> None:
    values = {"score": 1, "visits": 2**62, "nick": "a", "joined": NOW, "colors": ["b", "a", "b"], "vip": None}
    assert encode_attributes(REGISTRY, values) == {
        "score": Decimal(1),
        "visits": 2**62,
        "nick": "a",
        "joined": "2026-03-01T01:00:00.000000Z",
        "colors": ["b", "a"],
    }
    assert encode_traits(REGISTRY, {"rfm": 3}) == {"rfm": 3}
    for bad in ({"nobody": 1}, {"visits": 2**63}, {"visits": 1.0}, {"vip": 1}, {"colors": "a"}, {"nick": 5}):
        with pytest.raises(ProfileError):
            encode_attributes(REGISTRY, bad)
    with pytest.raises(ProfileError, match="no trait 'x'"):
        encode_traits(REGISTRY, {"x": 1})


def test_trailing_zeros_are_no_decimals() -> None:
    event = Event("order.placed", NOW, {"category": "a", "amount": Decimal("0.10000000000000000000000000")})
    assert encode_event(REGISTRY, event).amount == Decimal("0.1")


def test_a_row_of_the_profile_table() -> None:
    person = Profile(
        attributes={
            "age": 30,
            "birth_date": date(2000, 1, 1),
            "region_code": "VN",
            "score": 2.5,
            "nick": None,
        },
        tags=("b", "a", "b"),
        consents={"email_marketing": "granted"},
        traits={"rfm": 4},
        location=(10.5, 106.5),
    )
    contact_id = UUID(int=1)
    row = profile_row(REGISTRY, contact_id, person)
    assert row["contact_id"] == contact_id
    assert (row["stated_age"], row["birth_date"], row["region_code"]) == (30, date(2000, 1, 1), "VN")
    assert (row["latitude"], row["longitude"], row["tags"]) == (10.5, 106.5, ["b", "a"])
    assert [json.loads(row[n]) for n in ("attributes", "traits", "consents")] == [
        {"score": 2.5},
        {"rfm": 4},
        {"email_marketing": "granted"},
    ]


@pytest.mark.parametrize(
    "person",
    [
        Profile(attributes={"nobody": 1}),
        Profile(traits={"nobody": 1}),
        Profile(consents={"nobody": "granted"}),
        Profile(location=(91.0, 0.0)),
        Profile(attributes={"birth_date": NOW}),
        Profile(tags=("a\0",)),
    ],
)
def test_profiles_that_do_not_fit(person: Profile) -> None:
    with pytest.raises(ProfileError):
        profile_row(REGISTRY, UUID(int=1), person)
    rule = compile_rule("contact.age > 3", REGISTRY)
    with pytest.raises(ProfileError):
        rule.evaluate(person, NOW)
    with pytest.raises(ProfileError):
        rule.interpret(person, NOW)


@pytest.mark.parametrize(
    "now", [datetime(1000, 1, 1, tzinfo=UTC), datetime(9000, 1, 1, tzinfo=UTC), datetime(2026, 1, 1)]
)
def test_the_instant_of_evaluation_is_checked(now: datetime) -> None:
    rule = compile_rule("contact.age > 3", REGISTRY)
    for ask in (rule.evaluate, rule.interpret, rule.next_change):
        with pytest.raises(ValueError, match="instant of evaluation"):
            ask(Profile(), now)
