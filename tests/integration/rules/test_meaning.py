"""The published truth table (RULES.md), line by line, in every engine; and each fault ever found, as a fixed
example.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from sqlalchemy import Connection
from sqlalchemy import text as sql

from services.segmentation.rules import (
    Attribute,
    Event,
    EventType,
    Outcome,
    Profile,
    Registry,
    RuleFunction,
    Trait,
    compile_rule,
)
from tests.integration.rules import store

REGISTRY = Registry(
    attributes=(
        Attribute("vip", "bool"),
        Attribute("score", "double"),
        Attribute("visits", "int"),
        Attribute("nick", "string"),
        Attribute("joined", "timestamp"),
        Attribute("colors", "strings"),
    ),
    event_types=(
        EventType.parse(
            "order.placed", {"category": "string", "amount": "double", "note": "string?", "fee": "double?"}
        ),
        EventType.parse("page.visited", {"amount": "double?"}),
    ),
    traits=(Trait("rfm", "int"),),
    functions=(RuleFunction("loyalty.tier", "string", ("int",)), RuleFunction("risk.flag", "bool")),
    segments={"segments/churned": 7},
    time_zone="Asia/Ho_Chi_Minh",
)
NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
US = timedelta(microseconds=1)
DAY = timedelta(days=1)
MEMBER, NOT, UNKNOWN = Outcome.MEMBER, Outcome.NOT_MEMBER, Outcome.UNKNOWN

NOBODY = Profile()


def order(ago: timedelta, **payload: Any) -> Event:
    return Event("order.placed", NOW - ago, {"category": "shoes", "amount": 1.0, **payload})


def with_orders(*orders: Event, **attributes: Any) -> Profile:
    return Profile(attributes=attributes, events=orders)


BUYER = with_orders(order(DAY, note="a"), order(2 * DAY))
TABLE: list[tuple[str, Profile, Outcome]] = [
    # a missing field
    ("contact.age > 3", NOBODY, UNKNOWN),
    ('contact.region_code != "US"', NOBODY, MEMBER),
    ('contact.region_code == "VN"', NOBODY, NOT),
    ('contact.region_code in ["VN"]', NOBODY, NOT),
    ('!(contact.region_code in ["VN"])', NOBODY, MEMBER),
    ("has(contact.region_code)", NOBODY, NOT),
    ("contact.region_code == null", NOBODY, MEMBER),
    ("contact.region_code == contact.gender", NOBODY, MEMBER),
    ("contact.region_code != contact.gender", NOBODY, NOT),
    ("contact.vip", NOBODY, UNKNOWN),
    ("!contact.vip", NOBODY, UNKNOWN),
    ("contact.vip == false", NOBODY, NOT),
    ("contact.nick in contact.tags", NOBODY, NOT),
    ("contact.nick in contact.tags", Profile(attributes={"nick": "a"}, tags=("a",)), MEMBER),
    ('contact.nick == ""', Profile(attributes={"nick": ""}), MEMBER),
    ("has(contact.nick)", Profile(attributes={"nick": ""}), MEMBER),
    ('contact.consents.email_marketing == "granted"', NOBODY, NOT),
    ("contact.traits.rfm >= 4", Profile(traits={"rfm": 4}), MEMBER),
    # unknown in logic
    ("contact.age > 3 || true", NOBODY, MEMBER),
    ("contact.age > 3 && false", NOBODY, NOT),
    ("!(contact.age > 3)", NOBODY, UNKNOWN),
    ("contact.age > 3 && contact.has_email", NOBODY, NOT),
    ("contact.age > 3 || contact.has_email", NOBODY, UNKNOWN),
    # null and error differ
    ("contact.age != 2", NOBODY, MEMBER),
    ("contact.age + 1 != 2", NOBODY, UNKNOWN),
    ("(contact.age > 3) != true", NOBODY, UNKNOWN),
    ("(contact.vip ? 1 : 2) == 2", NOBODY, UNKNOWN),
    ("(contact.has_email ? contact.age : 1) != 1", NOBODY, NOT),
    ("(contact.age + 1 == 2) == (contact.vip == true)", NOBODY, UNKNOWN),
    # times
    ("contact.last_order_time < now", NOBODY, UNKNOWN),
    ("contact.last_order_time != now", NOBODY, UNKNOWN),
    ("has(contact.last_order_time)", NOBODY, NOT),
    ("contact.last_order_time == contact.create_time", NOBODY, UNKNOWN),
    ("now - contact.joined <= days(30)", Profile(attributes={"joined": NOW - 30 * DAY}), MEMBER),
    ("now - contact.joined < days(30)", Profile(attributes={"joined": NOW - 30 * DAY}), NOT),
    ("now - contact.joined <= days(30)", Profile(attributes={"joined": NOW - 30 * DAY - US}), NOT),
    ("now - contact.joined > days(30)",
     Profile(attributes={"joined": datetime(1, 1, 2, tzinfo=UTC)}), MEMBER),
    ("contact.joined > now", Profile(attributes={"joined": datetime(9999, 12, 31, tzinfo=UTC)}), MEMBER),
    ('contact.joined == timestamp("2026-03-01T19:00:00+07:00")', Profile(attributes={"joined": NOW}), MEMBER),
    ("contact.joined + days(1) > contact.joined",
     Profile(attributes={"joined": datetime(9999, 12, 31, 9, tzinfo=UTC)}), UNKNOWN),
    # age on the business's calendar: the birthday began at 17:00 UTC the day before
    ("contact.age == 26", Profile(attributes={"birth_date": date(2000, 3, 1)}), MEMBER),
    ("contact.age == 25", Profile(attributes={"birth_date": date(2000, 3, 2)}), MEMBER),
    ("contact.age == 30", Profile(attributes={"age": 30}), MEMBER),
    ("contact.age == 26", Profile(attributes={"age": 30, "birth_date": date(2000, 3, 1)}), MEMBER),
    ("has(contact.age)", Profile(attributes={"birth_date": date(2030, 1, 1)}), NOT),
    ('contact.birth_date == timestamp("2000-02-29T17:00:00Z")',
     Profile(attributes={"birth_date": date(2000, 3, 1)}), MEMBER),
    # events
    ("events.order_placed.size() < 2", NOBODY, MEMBER),
    ("events.order_placed.size() == 2", BUYER, MEMBER),
    ("events.order_placed.all(e, e.amount > 5.0)", NOBODY, MEMBER),
    ("has(events.order_placed)", BUYER, MEMBER),
    ("events.order_placed.exists(e, e.time == now)", with_orders(order(0 * DAY)), MEMBER),
    ("events.order_placed.exists(e, true)", with_orders(order(-US)), NOT),
    ("sum(events.order_placed.map(e, e.amount)) == 0.0", NOBODY, MEMBER),
    ("min(events.order_placed.map(e, e.amount)) > 0.0", NOBODY, UNKNOWN),
    # optional payload fields
    ('events.order_placed.exists(e, e.note.startsWith("a"))', BUYER, MEMBER),
    ('events.order_placed.exists(e, e.note.startsWith("b"))', BUYER, UNKNOWN),
    ('!events.order_placed.exists(e, e.note.startsWith("b"))', BUYER, UNKNOWN),
    ('events.order_placed.all(e, e.note.startsWith("a"))', BUYER, UNKNOWN),
    ('events.order_placed.all(e, e.note.startsWith("b"))', BUYER, NOT),
    ('events.order_placed.exists_one(e, e.note.startsWith("a"))', BUYER, UNKNOWN),
    ('events.order_placed.filter(e, e.note.startsWith("a")).size() < 5', BUYER, UNKNOWN),
    ('events.order_placed.filter(e, has(e.note) && e.note.startsWith("a")).size() == 1', BUYER, MEMBER),
    ('events.order_placed.exists(e, e.note == "b")', BUYER, NOT),
    ("sum(events.order_placed.map(e, e.fee)) < 1.0", with_orders(order(DAY, fee=0.5), order(DAY)), UNKNOWN),
    ("sum(events.order_placed.filter(e, has(e.fee)).map(e, e.fee)) == 0.5",
     with_orders(order(DAY, fee=0.5), order(DAY)), MEMBER),
    ("events.order_placed.map(e, e.fee).exists(f, f == null)",
     with_orders(order(DAY, fee=0.5), order(DAY)), MEMBER),
    # an event that a later filter drops still spoils the list
    ('events.order_placed.filter(e, e.note.startsWith("a")).filter(e, now - e.time <= days(1)).size() >= 0',
     with_orders(order(50 * DAY), order(DAY, note="a")), UNKNOWN),
    ('events.order_placed.filter(e, now - e.time <= days(1)).filter(e, e.note.startsWith("a")).size() == 1',
     with_orders(order(50 * DAY), order(DAY, note="a")), MEMBER),
    # numbers
    ("1 / contact.visits == 1", Profile(attributes={"visits": 0}), UNKNOWN),
    ("1.0 / contact.score > 1.0", Profile(attributes={"score": 0.0}), UNKNOWN),
    ("contact.visits + 1 > 0", Profile(attributes={"visits": 2**63 - 1}), UNKNOWN),
    ("-contact.visits > 0", Profile(attributes={"visits": -(2**63)}), UNKNOWN),
    ("contact.visits % -1 == 0", Profile(attributes={"visits": -(2**63)}), UNKNOWN),
    ("contact.visits / 2 == -3 && contact.visits % 2 == -1", Profile(attributes={"visits": -7}), MEMBER),
    ("contact.score * 10.0 > 0.0", Profile(attributes={"score": 1e308}), UNKNOWN),
    ("contact.score * 0.1 * 10.0 > 1e307", Profile(attributes={"score": 1e308}), MEMBER),
    ("contact.score * contact.score == 0.0", Profile(attributes={"score": 1e-200}), MEMBER),
    ("int(contact.score) == 1", Profile(attributes={"score": 1e30}), UNKNOWN),
    ("int(contact.score) == -1", Profile(attributes={"score": -1.9}), MEMBER),
    # money: three tenths are not the double sum of 0.1, 0.1 and 0.1
    ("sum(events.order_placed.map(e, e.amount)) == 0.3",
     with_orders(*(order(DAY, amount=Decimal("0.1")) for _ in range(3))), MEMBER),
    ("sum(events.order_placed.map(e, e.fee)) == 0.3",
     with_orders(*(order(DAY, fee=0.1) for _ in range(3))), MEMBER),
    ("sum(events.order_placed.map(e, e.amount * 1.0)) == 0.3",
     with_orders(*(order(DAY, amount=0.1) for _ in range(3))), MEMBER),
    # decimals that no double holds are added as stored
    ("sum(events.order_placed.map(e, e.amount)) == 1.0",
     with_orders(order(DAY, amount=Decimal(2**53 + 1)), order(DAY, amount=Decimal(-(2**53)))), MEMBER),
    ("sum(events.order_placed.map(e, e.fee)) == 1.0",
     with_orders(order(DAY, fee=Decimal(2**53 + 1)), order(DAY, fee=Decimal(-(2**53)))), MEMBER),
    ("contact.total_spent == 0.1", Profile(attributes={"total_spent": Decimal("0.1")}), MEMBER),
    # texts: exact after NFC, ordered byte by byte
    ('contact.nick == "e\\u0301"', Profile(attributes={"nick": "é"}), MEMBER),
    ('contact.nick == "\\u00e9"', Profile(attributes={"nick": "e\u0301"}), MEMBER),
    ('contact.nick > "Z"', Profile(attributes={"nick": "a"}), MEMBER),
    ('contact.nick < "é"', Profile(attributes={"nick": "z"}), MEMBER),
    ('fold(contact.nick) == "da nang"', Profile(attributes={"nick": "ĐÀ Nẵng"}), MEMBER),
    ('contact.nick.contains("") && contact.nick.startsWith("") && contact.nick.endsWith("")',
     Profile(attributes={"nick": ""}), MEMBER),
    ('contact.nick.endsWith("%")', Profile(attributes={"nick": "50%"}), MEMBER),
    ('contact.nick.endsWith("longer than it")', Profile(attributes={"nick": "it"}), NOT),
    ("contact.nick == \"it's \\\\ :now %(x)s\"", Profile(attributes={"nick": "it's \\ :now %(x)s"}), MEMBER),
    ("size(contact.nick) == 2", Profile(attributes={"nick": "😀é"}), MEMBER),
    ("contact.colors.exists(c, c.startsWith(\"re\"))",
     Profile(attributes={"colors": ("blue", "red")}), MEMBER),
    ("size(contact.colors) == 0 && !has(contact.colors)", NOBODY, MEMBER),
    # place
    ("distance_km(contact.location, 10.7769, 106.7009) < 5.0", Profile(location=(10.78, 106.7)), MEMBER),
    ("distance_km(contact.location, 10.7769, 106.7009) < 5.0", NOBODY, UNKNOWN),
    ("distance_km(contact.location, 0.0, 1.0) > 111.1 && distance_km(contact.location, 0.0, 1.0) < 111.3",
     Profile(location=(0.0, 0.0)), MEMBER),
    ("contact.location.latitude == null", NOBODY, MEMBER),
    # other segments, plugins
    ('in_segment("segments/churned")', NOBODY, NOT),
    ('in_segment("segments/churned")', Profile(segments=frozenset({"segments/churned"})), MEMBER),
    ('loyalty.tier(contact, 3) == "gold"', NOBODY, UNKNOWN),
    ('loyalty.tier(contact, 3) != "gold" || risk.flag(contact)',
     Profile(plugin_values={("risk.flag", ()): True}), MEMBER),
    ('!(loyalty.tier(contact, 3) == "gold")',
     Profile(plugin_values={("loyalty.tier", (3,)): "silver"}), MEMBER),
    ('loyalty.tier(contact, 3) == "gold"', Profile(plugin_values={("loyalty.tier", (3,)): 5}), UNKNOWN),
]  # fmt: skip

# Faults the property test found, kept.
FOUND: list[tuple[str, Profile]] = [
    # ANY() must stand on the right
    ("contact.nick in contact.tags", Profile(attributes={"nick": ""})),
    # an aggregate over columns of the contact alone belongs to the outer query unless told otherwise
    ("contact.visits in events.page_visited.map(v, contact.visits)", with_orders(visits=0)),
    ("events.page_visited.exists(v, contact.vip)",
     Profile(attributes={"vip": True}, events=(Event("page.visited", NOW),))),
    ("contact.tags.exists(t, contact.vip)", Profile(attributes={"vip": True}, tags=("a",))),
    ("sum(contact.tags.map(t, contact.visits)) == 2", Profile(attributes={"visits": 1}, tags=("a", "b"))),
    # NOT x IS NULL is NOT (x IS NULL)
    ("contact.tags.filter(t, !risk.flag(contact)).size() < 1", Profile(tags=("a",))),
    # a plugin inside a filter was not asked
    ("events.order_placed.filter(e, risk.flag(contact)).size() < 0", BUYER),
    # least() passes over NULL
    ("contact.score < contact.score + distance_km(contact.location, 1.0, 2.0)",
     Profile(attributes={"score": 0.0})),
    ("contact.score * 0.0 == 0.0", NOBODY),
    # CEL's differences of times end at 292 years
    ("now - contact.joined < days(30)", Profile(attributes={"joined": datetime(1, 1, 3, tzinfo=UTC)})),
    # products of tiny angles underflow
    ("distance_km(contact.location, 0.0, 5e-324) < 1.0", Profile(location=(0.0, 0.0))),
    # an inner list of an outer list of texts
    ("contact.tags.filter(t, now - max(events.page_visited.map(v, v.time)) > days(2)).size() != 0",
     Profile(tags=("a",), events=(Event("page.visited", NOW - DAY),))),
    # a time that depends on a text of the list around it
    ("contact.tags.exists(t, now - max(events.order_placed.filter(e, e.category == t).map(e, e.time)) > days(3))",
     replace(BUYER, tags=("shoes", "a"))),
    # what lacks a value is compared with no calendar, ever
    ("contact.visits + contact.visits < now.getMonth()", NOBODY),
    ("contact.visits == now.getDate()", NOBODY),
    ("(now.getDate() == 1 ? contact.visits : 3) == contact.visits", NOBODY),
    # an event so late that a moved now leaves the calendar
    ("events.order_placed.exists(o, o.amount > 0.0) == ((now + days(36600)).getMonth() == 13)",
     with_orders(Event("order.placed", datetime(9998, 12, 1, tzinfo=UTC), {"category": "a", "amount": 1.0}))),
    ("events.page_visited.map(e, e).exists(e, e.amount == null)",
     Profile(events=(Event("page.visited", NOW),))),
]  # fmt: skip


def outcomes(
    connection: Connection, text: str, person: Profile, now: datetime = NOW, registry: Registry = REGISTRY
) -> set[Outcome]:
    """Return what the engines say, each way SQL can be asked."""
    rule = compile_rule(text, registry)
    (person,) = store.with_ids([person])
    ids = store.put(connection, registry, [person])
    store.answer(connection, rule.plugin_calls, ids, [person])
    found = {rule.evaluate(person, now), rule.interpret(person, now)}
    for grouped in (False, True):
        found.add(store.outcomes(connection, rule, now, grouped=grouped)[ids[0]])
    exact, early = rule.next_change(person, now), store.changes(connection, rule, now).get(ids[0])
    assert exact is None or (early is not None and now < early <= exact), text
    members = [
        ids[0] in store.members_by_rebuild(connection, rule, now),
        ids[0] in store.members_by_where(connection, rule, now),
        store.batch(connection, [rule], ids, [person], now)[ids[0]][0] == {0},
    ]
    assert members in ([True] * 3, [False] * 3)
    assert members[0] == (MEMBER in found)
    return found


@pytest.mark.parametrize("part", range(4))
def test_truth_table(rule_tables: Connection, part: int) -> None:
    for text, person, expected in TABLE[part::4]:
        assert outcomes(rule_tables, text, person) == {expected}, text


def test_faults_found(rule_tables: Connection) -> None:
    for text, person in FOUND:
        assert len(outcomes(rule_tables, text, person)) == 1, text


def test_a_batch_survives_stored_values_of_another_type(rule_tables: Connection) -> None:
    """A rule never aborts a batch, whatever an older registry has left in the JSON columns."""
    people = [NOBODY, Profile(attributes={"score": 5.0, "visits": 5, "vip": True})]
    ids = store.put(rule_tables, REGISTRY, people)
    bad = '{"score": "x", "visits": 1e300, "vip": 3, "nick": [1], "joined": "soon", "colors": {"a": 1}}'
    rule_tables.execute(
        sql("UPDATE profile SET attributes = CAST(:v AS jsonb) WHERE contact_id = :i"),
        {"v": bad, "i": ids[0]},
    )
    rules = [
        compile_rule(text, REGISTRY)
        for text in (
            "contact.score > 1.0",
            "contact.visits > 1",
            "contact.vip",
            'contact.nick.startsWith("a")',
            "contact.joined < now",
            'contact.colors.exists(c, c == "a")',
            '"a" in contact.colors',
        )
    ]
    found = store.batch(rule_tables, rules, ids, people, NOW)
    assert found[ids[0]][0] == set()
    assert found[ids[1]][0] == {0, 1, 2}


def test_next_change_of_an_age(rule_tables: Connection) -> None:
    person = Profile(attributes={"birth_date": date(2000, 2, 29)})
    ids = store.put(rule_tables, REGISTRY, [person])
    rule = compile_rule("contact.age >= 30", REGISTRY)
    # Turns 26 on 1 March 2026 in Ho Chi Minh City: that has begun. The next birthday is 1 March 2027.
    assert store.changes(rule_tables, rule, NOW)[ids[0]] == datetime(2027, 2, 28, 17, tzinfo=UTC)
    # The value of the leaf changes at thirty.
    assert rule.next_change(person, NOW) == datetime(2030, 2, 28, 17, tzinfo=UTC)
    assert rule.next_change(replace(person, attributes={"age": 30}), NOW) is None


def test_the_evaluator_gives_up_and_the_others_do_not(rule_tables: Connection) -> None:
    person = Profile(events=tuple(Event("page.visited", NOW - i * DAY) for i in range(200)))
    rule = compile_rule(
        "events.page_visited.all(a, events.page_visited.exists(b, b.time < a.time - days(500) || b.time == "
        "a.time))",
        REGISTRY,
    )
    ids = store.put(rule_tables, REGISTRY, [person])
    assert rule.evaluate(person, NOW) is Outcome.LIMIT
    assert rule.interpret(person, NOW) is MEMBER
    assert store.members_by_rebuild(rule_tables, rule, NOW) == set(ids)
