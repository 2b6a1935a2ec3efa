"""Explanations of fixed rules: each shape of leaf with its place, sides, facts and hint; and when time turns them."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest

from services.segmentation.rules import (
    Attribute,
    Event,
    EventType,
    Profile,
    Registry,
    RuleFunction,
    Trait,
    compile_rule,
)
from services.segmentation.rules.explanation import Explanation, explain
from services.segmentation.rules.facts import MISSING, AttributeFact, EventsFact, PluginFact, SegmentFact
from services.segmentation.rules.hints import span
from services.segmentation.rules.outlook import Outlook

REGISTRY = Registry(
    attributes=(Attribute("vip", "bool"), Attribute("nick", "string"), Attribute("colors", "strings")),
    event_types=(
        EventType.parse("order.placed", {"category": "string", "amount": "double", "note": "string?"}),
        EventType.parse("cart.added", {"amount": "int"}),
    ),
    traits=(Trait("rfm", "int"),),
    functions=(RuleFunction("loyalty.tier", "string", ("int",)), RuleFunction("risk.flag", "bool")),
    segments={"segments/churned": 7, "segments/vip": 8},
    time_zone="Asia/Ho_Chi_Minh",
)
NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
DAY = timedelta(days=1)
US = timedelta(microseconds=1)


def order(ago: float, category: str = "shoes", amount: float = 10.0, **more: Any) -> Event:
    number = int(ago * 24) + 1000
    return Event(
        "order.placed", NOW - ago * DAY, {"category": category, "amount": amount, **more}, UUID(int=number)
    )


SOMEBODY = Profile(
    attributes={"region_code": "US", "age": 25, "nick": "Ann", "last_order_time": NOW - 3 * DAY},
    tags=("a",),
    consents={"email_marketing": "granted"},
    traits={"rfm": 3},
    location=(10.0, 106.0),
    events=(order(3), order(20), order(40), order(2, "hats"), Event("cart.added", NOW - DAY, {"amount": 1})),
    segments=frozenset({"segments/churned"}),
    plugin_values={("loyalty.tier", (1,)): "silver"},
)


def ask(rule: str, profile: Profile = SOMEBODY, **more: Any) -> Explanation:
    return explain(compile_rule(rule, REGISTRY), profile, NOW, **more)


def hints(rule: str, profile: Profile = SOMEBODY) -> list[str]:
    return [change.hint for change in ask(rule, profile).changes or ()]


SHOES = 'events.order_placed.filter(e, e.category == "shoes" && now - e.time <= days(30))'
WITHIN = 'order_placed event with category == "shoes" within 30 days'
MANY = WITHIN.replace("event with", "events with")


@pytest.mark.parametrize(
    ("rule", "value", "hint"),
    [
        ('contact.region_code == "VN"', False, 'contact.region_code to be "VN" (now "US")'),
        ('"US" == contact.region_code', True, 'contact.region_code to be other than "US" (now "US")'),
        ("contact.locality != null", False, "contact.locality to be known (now missing)"),
        ("contact.age >= 30", False, "contact.age to be at least 30 (now 25)"),
        ("30 > contact.age", True, "contact.age to be at least 30 (now 25)"),
        ("contact.traits.rfm < 3", False, "contact.traits.rfm to be less than 3 (now 3)"),
        ("contact.vip", None, "contact.vip to be true (now missing)"),
        ("has(contact.vip)", False, "contact.vip to be known"),
        ("has(contact.location)", True, "contact.location to be missing"),
        ('contact.region_code in ["VN", "LA"]', False, 'contact.region_code to be one of "VN", "LA" (now "US")'),
        ('contact.region_code in ["US"]', True, 'contact.region_code to be other than "US" (now "US")'),
        ('"vip" in contact.tags', False, '"vip" to be among contact.tags'),
        ('"a" in contact.tags', True, '"a" not to be among contact.tags'),
        ('contact.nick.startsWith("B")', False, 'contact.nick to start with "B" (now "Ann")'),
        ('in_segment("segments/vip")', False, "to be a member of segments/vip"),
        ('in_segment("segments/churned")', True, "not to be a member of segments/churned"),
        ("risk.flag(contact)", None, "the plugin's risk.flag(contact) to answer true"),
        (
            'loyalty.tier(contact, 1) == "gold"',
            False,
            'the plugin\'s loyalty.tier(contact, 1) to answer "gold" (now "silver")',
        ),
        (
            "distance_km(contact.location, 10.0, 106.0) > 5.0",
            False,
            "distance_km(contact.location, 10.0, 106.0) to be more than 5.0 (now 0.0)",
        ),
        (
            "now - contact.last_order_time > days(90)",
            False,
            "contact.last_order_time to be more than 90 days ago (it is 2026-02-26T12:00:00Z)",
        ),
        (
            "contact.last_order_time < now",
            True,
            "contact.last_order_time to be yet to come (it is 2026-02-26T12:00:00Z)",
        ),
        (f"{SHOES}.size() >= 3", False, f"one more {WITHIN}"),
        (f"{SHOES}.size() >= 5", False, f"3 more {MANY}"),
        (f"5 <= {SHOES}.size()", False, f"3 more {MANY}"),
        (f"{SHOES}.size() > 0", True, f"2 fewer {MANY}"),
        (f"{SHOES}.size() == 4", False, f"2 more {MANY}"),
        (f"{SHOES}.size() != 2", False, f"one more {WITHIN}"),
        (
            f"{SHOES}.size() >= 2",
            True,
            "the order_placed event of 2026-02-09 to leave the window of 30 days",
        ),
        ("events.order_placed.size() < 3", False, "2 fewer order_placed events"),
        (f"{SHOES}.exists(e, e.amount > 20.0)", False,
         'one more order_placed event with category == "shoes" and amount > 20.0 within 30 days'),
        ("events.cart_added.exists(c, now - c.time < days(7))", True,
         "the cart_added event of 2026-02-28 to leave the window of 7 days"),
        ("events.order_placed.exists(e, now - e.time > days(30))", True,
         "one fewer order_placed event more than 30 days ago"),
        ("events.order_placed.all(e, e.amount > 20.0)", False, "every order_placed event to meet amount > 20.0"),
        ("events.order_placed.all(e, e.amount < 20.0)", True,
         "one more order_placed event that does not meet amount < 20.0"),
        ('events.order_placed.exists_one(e, e.category == "shoes")', False,
         '2 fewer order_placed events with category == "shoes"'),
        (
            "sum(events.order_placed.filter(e, now - e.time <= days(30)).map(e, e.amount)) > 1000.0",
            False,
            "the sum of amount over order_placed events within 30 days to be more than 1000.0 (now 30.0)",
        ),
        ('contact.colors.exists(c, c == "red")', False, 'contact.colors.exists(c, c == "red") to be true'),
    ],
)  # fmt: skip
def test_a_leaf_is_hinted_by_its_shape(rule: str, value: bool | None, hint: str) -> None:
    explained = ask(rule)
    assert explained.outcome is value
    (leaf,) = explained.leaves
    assert (leaf.value, leaf.place.text, leaf.place.line, leaf.place.column) == (value, rule, 1, 1)
    (change,) = explained.changes or ()
    assert change.to is (value is not True)
    assert change.hint == hint


def test_an_undecided_list_is_hinted_by_what_is_missing() -> None:
    (hint,) = hints('events.order_placed.filter(e, e.note.startsWith("x")).size() > 5')
    assert hint == (
        "the values that the rule asks for in 4 order_placed events to be known "
        '(order_placed events with note.startsWith("x"))'
    )


def test_places_of_parts_in_a_rule_of_several_lines() -> None:
    rule = (
        'contact.region_code == "đà && (" // a (comment\n'
        '  || !((contact.age) > 3 && (contact.vip ? has(contact.nick) : "a" in contact.tags))'
    )
    explained = ask(rule)
    places = [(leaf.place.line, leaf.place.column, leaf.place.text) for leaf in explained.leaves]
    assert places == [
        (1, 1, 'contact.region_code == "đà && ("'),
        (2, 8, "(contact.age) > 3"),
        (2, 30, "contact.vip"),
        (2, 44, "has(contact.nick)"),
        (2, 64, '"a" in contact.tags'),
    ]
    assert explained.tree.op == "or"
    assert (explained.tree.place.line, explained.tree.place.column) == (1, 1)
    negated = explained.tree.parts[1]
    assert (negated.op, negated.place.column, negated.place.text[:3]) == ("not", 6, "!((")
    both = negated.parts[0]
    assert (both.op, both.place.column) == ("and", 8)
    choice = both.parts[1]
    assert (choice.op, choice.place.column) == ("choose", 30)
    assert [part.op for part in choice.parts] == ["leaf", "leaf", "leaf"]
    assert [side.text for side in explained.leaves[1].sides] == ["(contact.age)", "3"]


def test_sides_of_comparisons() -> None:
    explained = ask(
        'contact.age + 1 > 3 && contact.locality == "x" && now - contact.last_order_time <= days(2)'
    )
    assert [[(side.text, side.value) for side in leaf.sides] for leaf in explained.leaves] == [
        [("contact.age + 1", 26), ("3", 3)],
        [("contact.locality", MISSING), ('"x"', "x")],
        [("now - contact.last_order_time", 3 * DAY), ("days(2)", 2 * DAY)],
    ]


def test_facts_of_a_profile() -> None:
    explained = ask(
        'contact.consents.email_marketing == "denied" || "b" in contact.tags || contact.traits.rfm > 5'
        ' || has(contact.location) || contact.colors.exists(c, c == "red") || contact.age > 90'
        ' || in_segment("segments/churned") || loyalty.tier(contact, 1) == "gold" || risk.flag(contact)',
        Profile(**{**vars(SOMEBODY), "attributes": {"birth_date": date(2000, 3, 2)}}),
    )
    assert [leaf.facts for leaf in explained.leaves] == [
        (AttributeFact("contact.consents.email_marketing", "granted"),),
        (AttributeFact("contact.tags", ["a"]),),
        (AttributeFact("contact.traits.rfm", 3),),
        (AttributeFact("contact.location", {"latitude": 10.0, "longitude": 106.0}),),
        (AttributeFact("contact.colors", []),),
        (AttributeFact("contact.age", 25), AttributeFact("contact.birth_date", date(2000, 3, 2))),
        (SegmentFact("segments/churned", True),),
        (PluginFact("loyalty.tier", (1,), "silver"),),
        (PluginFact("risk.flag", (), MISSING),),
    ]


def events_of(rule: str, profile: Profile = SOMEBODY) -> list[EventsFact]:
    return [fact for leaf in ask(rule, profile).leaves for fact in leaf.facts if isinstance(fact, EventsFact)]


def test_events_that_count_and_the_nearest_that_does_not() -> None:
    (fact,) = events_of(f"{SHOES}.size() >= 3")
    assert (fact.counted, fact.seen, fact.unknown) == (2, 4, 0)
    assert [item.event.id for item in fact.newest] == [order(3).id, order(20).id]
    assert fact.nearest is not None
    # Of two that miss one condition each it is the newer one.
    assert (fact.nearest.event.id, fact.nearest.why) == (order(2).id, 'e.category == "shoes"')
    only_old = Profile(events=(order(40), order(50), order(1, "hats", amount=1.0)))
    (fact,) = events_of(f"{SHOES}.exists(e, e.amount > 5.0)", only_old)
    assert fact.nearest is not None
    assert (fact.nearest.event.id, fact.nearest.why) == (order(40).id, "now - e.time <= days(30)")
    assert events_of(f"{SHOES}.size() >= 2")[0].nearest is None


def test_an_event_to_come_is_the_nearest_when_there_is_no_other() -> None:
    (fact,) = events_of("events.order_placed.size() > 0", Profile(events=(order(-5), order(-2))))
    assert (fact.counted, fact.seen) == (0, 0)
    assert fact.nearest is not None
    assert (fact.nearest.event.id, fact.nearest.why) == (order(-2).id, "it has not happened yet")
    assert events_of("events.order_placed.size() > 0", Profile())[0].nearest is None


def test_of_many_events_the_newest_are_named_and_all_are_counted() -> None:
    (fact,) = events_of(
        "events.order_placed.size() > 0", Profile(events=tuple(order(n) for n in range(1, 9)))
    )
    assert fact.counted == 8
    assert [item.event.id for item in fact.newest] == [order(n).id for n in range(1, 6)]
    assert fact.oldest is not None
    assert fact.oldest.id == order(8).id


def test_events_that_break_an_all() -> None:
    (fact,) = events_of('events.order_placed.all(e, e.category == "shoes")')
    assert (fact.role, fact.counted, fact.seen) == ("all", 1, 4)
    assert [item.event.id for item in fact.newest] == [order(2).id]


def test_a_list_inside_of_a_list_is_shown_for_the_event_that_counts() -> None:
    outer, inner = events_of(
        "events.cart_added.exists(a, now - a.time <= days(7) && !events.order_placed.exists(o, o.time > a.time))"
    )
    assert (outer.type, outer.counted, outer.within) == ("cart_added", 1, None)
    assert (inner.type, inner.counted, inner.seen, inner.within) == ("order_placed", 0, 4, NOW - DAY)


@pytest.mark.parametrize(
    ("rule", "leaves"),
    [
        ("contact.vip || contact.age > 30", [0]),
        ("contact.age > 30 && contact.vip", [0, 1]),
        ("contact.age > 30 && contact.vip || has(contact.locality)", [2]),
        ("!(contact.age > 20 || has(contact.nick))", [0, 1]),
        ("!(contact.age > 20 && has(contact.nick))", [0]),
        ('contact.age > 30 ? has(contact.nick) : contact.vip && "x" in contact.tags', [0]),
        ("contact.vip && !contact.vip", None),
        ("false && contact.vip", None),
        ("contact.age > 30 && (contact.vip || contact.age > 30)", [0]),
        # A member ceases to be one when the rule is unknown, too.
        ("has(contact.nick) || contact.vip", [0]),
    ],
)
def test_the_nearest_change(rule: str, leaves: list[int] | None) -> None:
    explained = ask(rule)
    found = None if explained.changes is None else [change.leaf for change in explained.changes]
    assert found == leaves
    assert explained.changes_certain


def test_of_very_many_repeated_leaves_nothing_is_proven() -> None:
    parts = [f"(contact.age > {n} || contact.vip && !(contact.age > {n}))" for n in range(100, 140)]
    explained = ask(" && ".join(parts))
    assert explained.outcome is None
    assert not explained.changes_certain
    assert [change.leaf for change in explained.changes or ()] == [1]


@pytest.mark.parametrize(
    ("rule", "outlook"),
    [
        ("events.order_placed.exists(e, now - e.time <= days(30))", Outlook(NOW + 28 * DAY + US, False)),
        ("events.order_placed.exists(e, now - e.time < days(30))", Outlook(NOW + 28 * DAY, False)),
        # The leaf changes at 17 days, the outcome does not.
        ("events.order_placed.exists(e, now - e.time < days(30)) || has(contact.nick)", Outlook()),
        (f"{SHOES}.size() >= 2", Outlook(NOW + 10 * DAY + US, False)),
        ("now - contact.last_order_time > days(90)", Outlook(NOW + 87 * DAY + US, True)),
        ('contact.region_code == "VN"', Outlook()),
    ],
)
def test_when_it_turns_by_itself(rule: str, outlook: Outlook) -> None:
    assert ask(rule).outlook == outlook


def test_it_turns_when_an_event_to_come_happens_and_at_a_birthday() -> None:
    coming = Profile(events=(order(-5),))
    assert ask("events.order_placed.size() > 0", coming).outlook == Outlook(NOW + 5 * DAY, True)
    born = Profile(attributes={"birth_date": date(2000, 3, 10)})
    # The day begins at midnight in the business's zone.
    assert ask("contact.age >= 26", born).outlook == Outlook(datetime(2026, 3, 9, 17, tzinfo=UTC), True)


def test_it_turns_when_another_segment_does() -> None:
    churned = compile_rule("!events.order_placed.exists(e, now - e.time <= days(30))", REGISTRY)
    profile = Profile(events=(order(3),))
    named = {"segments/churned": churned}
    found = ask('in_segment("segments/churned")', profile, others=named)
    assert found.outlook == Outlook(NOW + 27 * DAY + US, True)
    assert ask('in_segment("segments/churned")', profile).outlook == Outlook()


def test_how_far_was_looked_is_said() -> None:
    until = NOW + 5 * DAY
    assert ask("risk.flag(contact)", known_until=until).outlook == Outlook(known_until=until)
    rule = "events.order_placed.exists(e, now - e.time <= days(30))"
    assert ask(rule, known_until=until).outlook == Outlook(known_until=until)
    late = NOW + 90 * DAY
    assert ask(rule, known_until=late).outlook.at == NOW + 28 * DAY + US
    # Many windows lapse while the outcome stays: of a plain list all are looked at.
    many = Profile(events=tuple(order(n / 100) for n in range(1, 101)))
    last = NOW - DAY / 100 + 300 * DAY
    plain = ask("events.order_placed.filter(e, now - e.time <= days(300)).size() > 0", many).outlook
    assert plain == Outlook(last + US, False)
    # With a list inside of the list there are more than may be looked at.
    nested = ask(
        "events.order_placed.exists(a, now - a.time <= days(300)"
        " && !events.cart_added.exists(c, c.time > a.time))",
        many,
    ).outlook
    assert nested.at is None
    assert nested.known_until is not None
    assert NOW + 299 * DAY < nested.known_until < last


@pytest.mark.parametrize(
    ("length", "words"),
    [
        (30 * DAY, "30 days"),
        (DAY, "1 day"),
        (timedelta(hours=36), "36 hours"),
        (timedelta(minutes=90), "90 minutes"),
        (timedelta(seconds=90), "90 seconds"),
        (timedelta(seconds=1, microseconds=500_000), "1.5 seconds"),
        (timedelta(0), "0 seconds"),
    ],
)
def test_lengths_of_time_in_words(length: timedelta, words: str) -> None:
    assert span(length) == words
