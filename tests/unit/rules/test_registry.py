"""The vocabulary refuses names and types that rules could not use."""

from __future__ import annotations

import pytest

from services.segmentation.rules import (
    Attribute,
    EventType,
    PayloadField,
    Registry,
    RegistryError,
    RuleFunction,
    Trait,
)


@pytest.mark.parametrize("name", ["Age", "1st", "", "in", "null", "a-b", "a.b", "x" * 64, "đ"])
def test_names(name: str) -> None:
    with pytest.raises(RegistryError, match="not a usable name"):
        Attribute(name, "int")
    with pytest.raises(RegistryError, match="not a usable name"):
        Trait(name, "int")
    with pytest.raises(RegistryError, match="not a usable name"):
        PayloadField(name, "int")


def test_types() -> None:
    with pytest.raises(RegistryError, match="unknown type 'money': use one of int, double"):
        Attribute("price", "money")  # type: ignore[arg-type]
    with pytest.raises(RegistryError, match="unknown type 'strings'"):
        Trait("labels", "strings")  # type: ignore[arg-type]
    with pytest.raises(RegistryError, match="unknown type 'text'"):
        EventType.parse("a.b", {"note": "text?"})


def test_core_attributes_keep_their_type() -> None:
    with pytest.raises(RegistryError, match="'age' is a core attribute of type int: it cannot become string"):
        Registry(attributes=(Attribute("age", "string"),))
    assert Registry(attributes=(Attribute("age", "int"),)) == Registry()


def test_built_in_groups_are_taken() -> None:
    for name in ("traits", "consents", "location"):
        with pytest.raises(RegistryError, match="built-in group"):
            Attribute(name, "string")
    with pytest.raises(RegistryError, match="'time' is built in"):
        PayloadField("time", "timestamp")


def test_two_meanings_of_one_name() -> None:
    with pytest.raises(RegistryError, match="attribute 'score' is registered twice"):
        Registry(attributes=(Attribute("score", "int"), Attribute("score", "double")))
    with pytest.raises(RegistryError, match="event type 'order_placed' is registered twice"):
        Registry(event_types=(EventType("order.placed"), EventType("order_placed")))
    registry = Registry(attributes=(Attribute("score", "int"),))
    with pytest.raises(RegistryError, match="registered twice"):
        registry.extend(attributes=(Attribute("score", "double"),))
    assert registry.extend(attributes=(Attribute("score", "int"),)) == registry


def test_functions_and_zones() -> None:
    for name in ("tier", "contact.tier", "events.tier", "a.b.c", "now.x"):
        with pytest.raises(RegistryError):
            RuleFunction(name, "string")
    with pytest.raises(RegistryError, match=r"there is no time zone .Mars/Base."):
        Registry(time_zone="Mars/Base")
    with pytest.raises(RegistryError, match="is an abbreviation: write a place"):
        Registry(time_zone="CET")


def test_the_fingerprint_is_of_the_vocabulary() -> None:
    a = Registry(attributes=(Attribute("x", "int"), Attribute("y", "int")))
    b = Registry(attributes=(Attribute("y", "int"), Attribute("x", "int")), segments={"segments/a": 1})
    assert a.fingerprint == b.fingerprint
    assert hash(a) == hash(b)
    assert a.fingerprint != Registry(attributes=(Attribute("x", "int"),)).fingerprint
    assert a.fingerprint != a.extend(consents=("letters",)).fingerprint


def test_optional_payload_and_columns() -> None:
    event = EventType.parse("order.placed", {"amount": "double", "category": "string?", "total": "double"})
    assert event.cel_name == "order_placed"
    assert event.field("category").optional
    assert not event.field("amount").optional
    assert [event.field(n).promoted for n in ("amount", "category", "total")] == ["amount", "category", None]
    assert EventType.parse("cart.added", {"amount": "int"}).field("amount").promoted is None
