"""Rules as businesses write them: accepted, and right for those inside and those outside, in all engines."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import Connection

from services.segmentation.rules import Event, EventType, Outcome, Profile, Registry, RuleFunction, Trait
from tests.integration.rules.test_meaning import outcomes

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
REGISTRY = Registry(
    event_types=(
        EventType.parse("order.placed", {"category": "string?", "amount": "double"}),
        EventType.parse("cart.added", {}),
    ),
    traits=(Trait("rfm_recency", "int"),),
    functions=(RuleFunction("loyalty.tier", "string"),),
    segments={"segments/churned": 1, "segments/vip": 2, "segments/staff": 3},
    time_zone="Asia/Ho_Chi_Minh",
)


def ordered(ago: float, amount: float = 10.0, category: str = "shoes") -> Event:
    return Event("order.placed", NOW - timedelta(days=ago), {"amount": amount, "category": category})


def carted(ago: float) -> Event:
    return Event("cart.added", NOW - timedelta(days=ago))


def person(**attributes: Any) -> Profile:
    return Profile(attributes=attributes)


def events(*given: Event) -> Profile:
    return Profile(events=given)


def among(*names: str) -> Profile:
    return Profile(segments=frozenset(f"segments/{name}" for name in names))


GRANTED = Profile(attributes={"has_email": True}, consents={"email_marketing": "granted"})

# rule, who is a member, who is not
EXAMPLES: list[tuple[str, list[Profile], list[Profile]]] = [
    (
        'contact.region_code == "VN" && contact.age >= 25 && contact.age < 35',
        [person(region_code="VN", age=25), person(region_code="VN", birth_date=date(1992, 1, 1))],
        [person(region_code="VN", age=35), person(region_code="US", age=30), person(region_code="VN")],
    ),
    (
        'contact.has_email && !("vip" in contact.tags) && contact.consents.email_marketing == "granted"',
        [GRANTED, replace(GRANTED, tags=("VIP",))],
        [replace(GRANTED, tags=("vip",)), replace(GRANTED, consents={}), replace(GRANTED, attributes={})],
    ),
    (
        'events.order_placed.filter(e, e.category == "shoes" && now - e.time <= days(30)).size() >= 2',
        [events(ordered(1), ordered(30))],
        [events(ordered(1), ordered(30.1)), events(ordered(1), ordered(2, category="hats"))],
    ),
    (
        "events.cart_added.exists(a, now - a.time <= days(7) && !events.order_placed.exists(o, o.time > a.time))",
        [events(carted(3)), events(carted(3), ordered(4)), events(carted(3), ordered(2), carted(1))],
        [events(carted(3), ordered(2)), events(carted(8)), events()],
    ),
    (
        "sum(events.order_placed.filter(e, now - e.time <= days(365)).map(e, e.amount)) > 1000.0",
        [events(ordered(300, 999.99), ordered(5, 0.02))],
        [events(ordered(300, 999.99), ordered(5, 0.01)), events(ordered(366, 5000.0))],
    ),
    (
        "now - contact.last_order_time > days(90)",
        [person(last_order_time=NOW - timedelta(days=91))],
        [person(last_order_time=NOW - timedelta(days=90)), person()],
    ),
    (
        'contact.traits.rfm_recency >= 4 && !in_segment("segments/churned")',
        [Profile(traits={"rfm_recency": 4})],
        [Profile(traits={"rfm_recency": 3}), Profile(), replace(among("churned"), traits={"rfm_recency": 5})],
    ),
    (
        "distance_km(contact.location, 10.7769, 106.7009) < 5.0",
        [Profile(location=(10.80, 106.70))],
        [Profile(location=(10.83, 106.70)), Profile()],
    ),
    (
        'loyalty.tier(contact) == "gold"',
        [Profile(plugin_values={("loyalty.tier", ()): "gold"})],
        [Profile(plugin_values={("loyalty.tier", ()): "silver"}), Profile()],
    ),
    # set operations: union, intersection, exclusion, symmetric difference
    (
        '(in_segment("segments/vip") || in_segment("segments/churned")) && !in_segment("segments/staff")',
        [among("vip"), among("vip", "churned")],
        [among("vip", "staff"), among()],
    ),
    (
        'in_segment("segments/vip") != in_segment("segments/churned")',
        [among("vip"), among("churned")],
        [among("vip", "churned"), among("staff")],
    ),
    # without accents and case
    (
        'fold(contact.locality).startsWith(fold("THÀNH PHỐ"))',
        [person(locality="Thành phố Hồ Chí Minh"), person(locality="thanh pho da nang")],
        [person(locality="Hà Nội"), person()],
    ),
    # sequences: a cart, then an order within three days, and none after
    (
        "events.cart_added.exists(a, events.order_placed.exists(o, o.time > a.time && o.time - a.time <= days(3) "
        "&& !events.order_placed.exists(p, p.time > o.time)))",
        [events(carted(5), ordered(3))],
        [
            events(carted(5), ordered(1)),
            events(carted(5), ordered(3), ordered(1)),
            events(ordered(3), carted(2)),
        ],
    ),
    # sums, the least and the most
    (
        "max(events.order_placed.map(o, o.amount)) >= 3.0 * min(events.order_placed.map(o, o.amount))",
        [events(ordered(1, 10.0), ordered(2, 30.0))],
        [events(ordered(1, 10.0), ordered(2, 29.0)), events()],
    ),
    (
        "now - max(events.order_placed.map(o, o.time)) <= days(7)",
        [events(ordered(6), ordered(90))],
        [events(ordered(8)), events()],
    ),
    # calendars
    (
        "contact.birth_date.getMonth() == now.getMonth() && contact.birth_date.getDate() == now.getDate()",
        [person(birth_date=date(1990, 3, 1)), person(birth_date=date(2025, 3, 1))],
        [person(birth_date=date(1990, 3, 2)), person(birth_date=date(1990, 4, 1)), person()],
    ),
    (
        "events.order_placed.filter(o, o.time.getDayOfWeek() in [0, 6]).size() * 2 > events.order_placed.size()",
        [events(ordered(0), ordered(1), ordered(2))],
        [events(ordered(0), ordered(2)), events()],
    ),
    (
        "max(events.order_placed.map(o, o.time)).getFullYear() < now.getFullYear()",
        [events(ordered(100), ordered(200))],
        [events(ordered(59), ordered(200)), events()],
    ),
]


@pytest.mark.parametrize("part", range(3))
def test_examples(rule_tables: Connection, part: int) -> None:
    for rule, inside, outside in EXAMPLES[part::3]:
        for member in inside:
            assert outcomes(rule_tables, rule, member, NOW, REGISTRY) == {Outcome.MEMBER}, (rule, member)
        for other in outside:
            found = outcomes(rule_tables, rule, other, NOW, REGISTRY)
            assert len(found) == 1, (rule, other)
            assert found < {Outcome.NOT_MEMBER, Outcome.UNKNOWN}, (rule, other)
