"""The five segments of the demo, with answers worked out by hand, at the edges of their windows."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import Connection

from services.segmentation.rules import Event, EventType, Outcome, Profile, Registry, compile_rule
from tests.integration.rules import store

REGISTRY = Registry(
    event_types=(
        EventType.parse("order.placed", {"amount": "double", "category": "string?"}),
        EventType.parse("page.visited", {}),
    ),
    time_zone="Europe/London",
)
# Midnight of 10 December 2011 in London is also midnight UTC.
NOW = datetime(2011, 12, 10, tzinfo=UTC)
US = timedelta(microseconds=1)

BROWSERS = (
    "events.page_visited.filter(v, now - v.time <= days(30)).size() >= 3 && "
    "!events.page_visited.exists(v, now - v.time <= days(30) && events.order_placed.exists(o, o.time > "
    "v.time))"
)
BROWSERS_BY_MIN = (
    "events.page_visited.filter(v, now - v.time <= days(30)).size() >= 3 && !events.order_placed.exists(o, "
    "o.time > min(events.page_visited.filter(v, now - v.time <= days(30)).map(v, v.time)))"
)
LAPSED = "events.order_placed.size() > 0 && !events.order_placed.exists(o, now - o.time <= days(90))"
LOYAL = "events.order_placed.size() >= 5 && events.order_placed.exists(o, now - o.time <= days(30))"
NEWCOMERS = "now - min(events.order_placed.map(o, o.time)) <= days(30)"
NEWCOMERS_BY_COUNT = (
    "events.order_placed.exists(o, now - o.time <= days(30)) && "
    "!events.order_placed.exists(o, now - o.time > days(30))"
)
REPEAT = "events.order_placed.filter(o, now - o.time <= days(60)).size() >= 2"


def days(n: float) -> timedelta:
    return timedelta(days=n)


def visits(*ago: timedelta) -> tuple[Event, ...]:
    return tuple(Event("page.visited", NOW - a) for a in ago)


def orders(*ago: timedelta) -> tuple[Event, ...]:
    return tuple(Event("order.placed", NOW - a, {"amount": 1.5}) for a in ago)


MEMBER, NOT, UNKNOWN = Outcome.MEMBER, Outcome.NOT_MEMBER, Outcome.UNKNOWN

# rule, events, outcome, first instant of change (as a distance from now) or None
CASES = [
    # browsers: three visits, none followed by an order
    (BROWSERS, visits(days(1), days(2), days(3)), MEMBER, days(27) + US),
    (BROWSERS, visits(days(1), days(2), days(30)), MEMBER, US),
    (BROWSERS, visits(days(1), days(2), days(30) + US), NOT, None),
    (BROWSERS, visits(days(1), days(2)), NOT, None),
    (BROWSERS, visits(days(1), days(2), days(3)) + orders(days(4)), MEMBER, days(27) + US),
    (BROWSERS, visits(days(1), days(2), days(3)) + orders(days(2.5)), NOT, days(27) + US),
    (BROWSERS, visits(days(1), days(2), days(3)) + orders(days(3)), MEMBER, days(27) + US),
    # an order after an old visit that is no longer in the window does not count
    (BROWSERS, visits(days(1), days(2), days(3), days(40)) + orders(days(35)), MEMBER, days(27) + US),
    # a fourth visit becomes visible in a day; the count of three is reached already
    (BROWSERS, visits(days(1), days(2), days(3), days(-1)), MEMBER, days(28) + US),
    # lapsed
    (LAPSED, orders(days(91)), MEMBER, None),
    (LAPSED, orders(days(90) + US), MEMBER, None),
    (LAPSED, orders(days(90)), NOT, US),
    (LAPSED, orders(days(1), days(100)), NOT, days(89) + US),
    (LAPSED, (), NOT, None),
    (LAPSED, orders(days(-5), days(100)), MEMBER, days(5)),
    # loyal
    (LOYAL, orders(days(30), days(31), days(32), days(33), days(34)), MEMBER, US),
    (LOYAL, orders(days(30) + US, days(31), days(32), days(33), days(34)), NOT, None),
    (LOYAL, orders(days(1), days(31), days(32), days(33)), NOT, days(29) + US),
    (LOYAL, orders(days(1), days(2), days(2), days(2), days(2)), MEMBER, days(29) + US),
    # newcomers
    (NEWCOMERS, orders(days(30)), MEMBER, US),
    (NEWCOMERS, orders(days(1), days(30) + US), NOT, None),
    (NEWCOMERS, orders(days(1), days(2)), MEMBER, days(28) + US),
    (NEWCOMERS, (), UNKNOWN, None),
    (NEWCOMERS, orders(days(-2)), UNKNOWN, days(2)),
    (NEWCOMERS_BY_COUNT, orders(days(1), days(30)), MEMBER, US),
    (NEWCOMERS_BY_COUNT, (), NOT, None),
    # repeat
    (REPEAT, orders(days(1), days(60)), MEMBER, US),
    (REPEAT, orders(days(1), days(60) + US), NOT, None),
    (REPEAT, orders(days(1), days(2), days(60)), MEMBER, days(58) + US),
    (REPEAT, orders(days(0), days(-3)), NOT, days(3)),
]


@pytest.mark.parametrize("by_min", [False, True])
def test_worked_cases(rule_tables: Connection, by_min: bool) -> None:
    people = [Profile(events=events) for _, events, _, _ in CASES]
    ids = store.put(rule_tables, REGISTRY, people)
    for index, (text, _, outcome, change) in enumerate(CASES):
        rule = compile_rule(BROWSERS_BY_MIN if by_min and text is BROWSERS else text, REGISTRY)
        assert rule.evaluate(people[index], NOW) is outcome, CASES[index]
        assert rule.interpret(people[index], NOW) is outcome, CASES[index]
        assert (ids[index] in store.members_by_rebuild(rule_tables, rule, NOW)) == (outcome is MEMBER), CASES[
            index
        ]
        assert (ids[index] in store.members_by_where(rule_tables, rule, NOW)) == (outcome is MEMBER), CASES[
            index
        ]
        if rule.text == text:
            expected = None if change is None else NOW + change
            assert rule.next_change(people[index], NOW) == expected, CASES[index]
            found = store.changes(rule_tables, rule, NOW).get(ids[index])
            if text in (LAPSED, LOYAL, REPEAT, NEWCOMERS):
                assert found == expected, CASES[index]
            else:
                assert expected is None or (found is not None and found <= expected), CASES[index]


def test_all_in_one_batch(rule_tables: Connection) -> None:
    texts = list(dict.fromkeys(text for text, _, _, _ in CASES))
    rules = [compile_rule(text, REGISTRY) for text in texts]
    people = [Profile(events=events) for _, events, _, _ in CASES]
    ids = store.put(rule_tables, REGISTRY, people)
    found = store.batch(rule_tables, rules, ids, people, NOW)
    for person, contact_id in zip(people, ids, strict=True):
        expected = {n for n, rule in enumerate(rules) if rule.evaluate(person, NOW) is MEMBER}
        assert found[contact_id][0] == expected


def test_the_past_is_seen_as_it_was(rule_tables: Connection) -> None:
    """Evaluated as of an earlier instant, later events are not there."""
    person = Profile(events=orders(days(1), days(2), days(100)))
    rule = compile_rule(LAPSED, REGISTRY)
    (contact_id,) = store.put(rule_tables, REGISTRY, [person])
    for ago, outcome in (
        (days(0), NOT),
        (days(2), NOT),
        (days(2) + US, MEMBER),
        (days(9), MEMBER),
        (days(101), NOT),
    ):
        at = NOW - ago
        assert rule.evaluate(person, at) is outcome
        assert (contact_id in store.members_by_rebuild(rule_tables, rule, at)) == (outcome is MEMBER)


def test_following_the_timer_reaches_every_change(rule_tables: Connection) -> None:
    """Between an instant and the next change SQL gives, no membership changes; following it, none is
    missed.
    """
    person = Profile(
        events=visits(days(29), days(20), days(3), days(-2)) + orders(days(25), days(80), days(-4))
    )
    texts = [BROWSERS, LAPSED, LOYAL, NEWCOMERS, REPEAT]
    rules = [compile_rule(text, REGISTRY) for text in texts]
    (contact_id,) = store.put(rule_tables, REGISTRY, [person])
    at, steps = NOW, 0
    verdicts, change = store.batch(rule_tables, rules, [contact_id], [person], at)[contact_id]
    while change is not None:
        for instant in (at + (change - at) / 2, change - US):
            between, later = store.batch(rule_tables, rules, [contact_id], [person], instant)[contact_id]
            assert between == verdicts
            assert later == change
        at, steps = change, steps + 1
        verdicts, change = store.batch(rule_tables, rules, [contact_id], [person], at)[contact_id]
        assert verdicts == {n for n, rule in enumerate(rules) if rule.evaluate(person, at) is MEMBER}
    assert 5 <= steps <= 20
