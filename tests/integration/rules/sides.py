"""The registry and the profiles of the systematic rules: two sides of each kind of value, which may be missing."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

from services.segmentation.rules import Attribute, Event, EventType, Profile, Registry, RuleFunction, Trait
from tests.integration.rules import store

NOW = datetime(2026, 3, 1, 9, 30, 0, 123456, tzinfo=UTC)
DAY, US = timedelta(days=1), timedelta(microseconds=1)
KINDS = {"int": "int", "double": "double", "string": "string", "bool": "bool", "time": "timestamp"}

_FIELDS = {
    **{f"{side}_{kind}": f"{type_}?" for side in ("left", "right") for kind, type_ in KINDS.items()},
    **{f"sure_{kind}": type_ for kind, type_ in KINDS.items()},
    "test_bool": "bool?",
}
REGISTRY = Registry(
    attributes=(
        *(Attribute(f"left_{kind}", type_) for kind, type_ in KINDS.items()),  # type: ignore[arg-type]
        Attribute("colors", "strings"),
    ),
    event_types=(
        EventType.parse("pair.seen", {**_FIELDS, "category": "string?", "amount": "double?"}),
        EventType.parse("order.placed", {"category": "string", "amount": "double", "extra": "double"}),
        EventType.parse("page.visited", {}),
    ),
    traits=(
        *(Trait(f"right_{kind}", type_) for kind, type_ in KINDS.items()),  # type: ignore[arg-type]
        Trait("test_bool", "bool"),
    ),
    functions=(
        RuleFunction("answer.int", "int"),
        RuleFunction("answer.double", "double"),
        RuleFunction("answer.string", "string", ("string",)),
        RuleFunction("answer.bool", "bool", ("int",)),
    ),
    segments={"segments/a": 7},
    time_zone="Asia/Ho_Chi_Minh",
)
CALLS = {
    "int": ("answer.int", ()),
    "double": ("answer.double", ()),
    "string": ("answer.string", ("x",)),
    "bool": ("answer.bool", (1,)),
}

# -- profiles
# ---------------------------------------------------------------------------------------------------------

_LEFT: dict[str, Any] = {"int": 3, "double": 3.5, "string": "b", "bool": True, "time": NOW - 2 * DAY}
_RIGHT: dict[str, Any] = {"int": 3, "double": 3.5, "string": "b", "bool": True, "time": NOW - 2 * DAY}
_OTHER: dict[str, Any] = {"int": 4, "double": 4.25, "string": "B", "bool": False, "time": NOW - DAY}
_SURE: dict[str, Any] = {"int": 2, "double": 3.5, "string": "b", "bool": True, "time": NOW - 3 * DAY}


def pair(
    ago: timedelta,
    left: dict[str, Any] | None,
    right: dict[str, Any] | None,
    *,
    test: bool | None = None,
    sure: dict[str, Any] | None = None,
    **payload: Any,
) -> Event:
    """Return an event of two sides, each of which may be missing."""
    values = {f"sure_{k}": v for k, v in (sure or _SURE).items()}
    for side, given in (("left", left), ("right", right)):
        values |= {f"{side}_{k}": v for k, v in (given or {}).items()}
    if test is not None:
        values["test_bool"] = test
    return Event("pair.seen", NOW - ago, values | payload)


def _order(ago: timedelta, amount: str) -> Event:
    return Event(
        "order.placed", NOW - ago, {"category": "b", "amount": Decimal(amount), "extra": Decimal(amount)}
    )


def person(
    left: dict[str, Any] | None,
    right: dict[str, Any] | None,
    *,
    test: bool | None = None,
    events: tuple[Event, ...] = (),
    answers: dict[str, Any] | None = None,
    more: dict[str, Any] | None = None,
    **fields: Any,
) -> Profile:
    """Return a profile of two sides, each of which may be missing."""
    traits = {f"right_{k}": v for k, v in (right or {}).items()}
    if test is not None:
        traits["test_bool"] = test
    return Profile(
        attributes={f"left_{k}": v for k, v in (left or {}).items()} | (more or {}),
        traits=traits,
        events=events,
        plugin_values={CALLS[k]: v for k, v in (answers or {}).items()},
        **fields,
    )


def profiles() -> list[Profile]:
    """Return the profiles: every choice of what is missing, of the contact and of events."""
    full = pair(2 * DAY, _LEFT, _RIGHT, test=True, category="b", amount=Decimal("0.1"))
    other = pair(DAY, _OTHER, _RIGHT, test=False, sure=_OTHER, category="a", amount=Decimal("0.2"))
    no_left = pair(2 * DAY + US, None, _RIGHT, test=True)
    no_right = pair(3 * DAY, _OTHER, None, test=False, sure=_OTHER)
    neither = pair(DAY, None, None)
    unasked = pair(2 * DAY, _LEFT, _OTHER)
    bare_test = pair(2 * DAY - US, None, None, test=False, sure=_OTHER)
    known = {
        "age": 3,
        "birth_date": date(2023, 2, 28),
        "create_time": NOW - 2 * DAY,
        "last_order_time": NOW - DAY,
        "region_code": "b",
        "order_count": 3,
        "total_spent": Decimal("3.5"),
        "has_email": True,
        "colors": ("a", "b"),
    }
    answers = {"int": 3, "double": 3.5, "string": "b", "bool": True}
    place = {
        "location": (3.5, 3.5),
        "consents": {"email_marketing": "b"},
        "segments": frozenset({"segments/a"}),
    }
    more = {"has_email": True, "order_count": 5, "total_spent": Decimal("4.25")}
    return [
        Profile(),
        Profile(tags=("a", "b"), attributes={"colors": ("a", "b")}),
        person(_LEFT, _RIGHT, test=True, events=(full,), answers=answers, more=known, tags=("a", "b"), **place),
        person(_OTHER, _RIGHT, test=False, events=(full, other, full), answers=answers, more={"colors": ("b",)},
               tags=("b",), **place),
        person(None, _RIGHT, test=True, events=(full, no_left), tags=("a", "B"), more={**known, "colors": ("a",)}),
        person(_LEFT, None, test=False, events=(other, no_right), tags=("a",), more={"birth_date": date(2030, 1, 1)}),
        person(None, None, test=True, events=(neither,), tags=("a", "b", "c"),
               more={"colors": ("c", "b", "a")}),
        person(None, None, test=False, events=(no_left, no_right, bare_test), more=more, tags=("c",)),
        person(_LEFT, _OTHER, events=(unasked, other), tags=("b", "d"), more={"age": 4, "colors": ("d", "b")}),
        person(_OTHER, None, test=True, events=(no_right, neither, other), more=more),
        person(None, _OTHER, test=False, events=(bare_test, full), tags=("a",), more=more),
        # Events that have not happened yet, and sums that doubles get wrong.
        person(_OTHER, _OTHER, test=True, tags=("A",), more={"age": 2, "has_email": True},
               events=(pair(-DAY, _LEFT, _LEFT), pair(-2 * DAY, None, None),
                       *(_order(DAY, "0.1") for _ in range(3)))),
        person({**_LEFT, "int": 2**63 - 1, "double": 1e308, "string": "it's \\ é",
                "time": datetime(9999, 12, 30, tzinfo=UTC)},
               {**_RIGHT, "int": 0, "double": 0.0, "string": ""}, test=False, more=more,
               events=(pair(2 * DAY, {**_LEFT, "int": -(2**63), "string": "é"}, {**_RIGHT, "int": -1, "double": 0.0}),
                       Event("page.visited", NOW))),
        # Sums of decimals that no double holds.
        person({"string": "é", "int": -7}, None, more={"create_time": NOW},
               events=(_order(DAY, str(2**53 + 1)), _order(DAY, str(-(2**53))), pair(3 * DAY, _LEFT, None))),
    ]  # fmt: skip


def people() -> list[Profile]:
    """Return the profiles with the ids under which they are stored."""
    return store.with_ids(profiles())
