"""The graphs of journeys: what makes one unsound, how it is stored, and that people on it go where it says."""

from __future__ import annotations

from collections import Counter
from datetime import UTC, date, datetime, time, timedelta
from types import SimpleNamespace
from typing import Any
from uuid import UUID, uuid4
from zoneinfo import ZoneInfo

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from services.campaign import channels
from services.campaign.domain.conditions import holds as condition_holds
from services.campaign.domain.graph import check_graph
from services.campaign.domain.ids import RuleError
from services.campaign.domain.journeys import Entry, Journey, Send, check_journey, listens, make_graph
from services.campaign.domain.localtime import anniversaries, at_local, check_zone, next_local
from services.campaign.domain.stepping import Advance, Known, Signal, advance, part_of
from services.campaign.domain.steps import (
    Branch,
    Case,
    Match,
    ModifyTags,
    Node,
    OpenCase,
    OpenTask,
    Part,
    SetAttribute,
    Split,
    Wait,
    WaitEvent,
    WaitUntil,
    Webhook,
    numbered,
    steps_from_json,
    steps_to_json,
)
from services.campaign.domain.triggers import DateRule
from services.campaign.usecases.journey_checks import local_problems
from services.kit.plugins import ChannelRecord
from tests.support.campaign_journeys import EVENTS, SEND, Step, graphs, holds, walk

NOW = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
DAY, HOUR = timedelta(days=1), timedelta(hours=1)
PAID = Match("payment.received")
EVERY = [
    Node("a", Wait(DAY), "b"),
    Node("b", WaitUntil(time(9, 30), (1, 5), "Asia/Tokyo"), "c"),
    Node("c", WaitEvent(Match("segment.left", "segments/vip", "event.x == 1"), DAY, "end"), "d"),
    Node("d", Branch((Case("true", "e"), Case("false", "f"))), "f"),
    Node("e", Split((Part(12.5, "f"), Part(50, "end"))), "f"),
    Node("f", SEND, "g"),
    Node("g", SetAttribute("level", "int", 3), "h"),
    Node("h", ModifyTags(("new",), ("old",)), "i"),
    Node("i", OpenCase("Call", "soon", "queues/help", "high"), "k"),
    Node("k", OpenTask("Ring", "gently", "queues/help", "agents/ana", "low", DAY), "l"),
    Node("l", OpenTask("Ring"), "j"),
    Node("j", Webhook("https://example.test/hook", "webhook.http"), "end"),
]


def test_all_steps_are_sound_and_survive_storage() -> None:
    assert check_graph(EVERY) == []
    assert steps_from_json(steps_to_json(EVERY)) == tuple(EVERY)


def test_a_list_of_actions_is_a_graph_in_a_line() -> None:
    made = numbered([Wait(DAY), WaitEvent(PAID, DAY), Split((Part(10),)), SEND])
    assert [(node.id, list(node.exits())) for node in made] == [
        ("step1", [("", "step2")]),
        ("step2", [("event", "step3"), ("timeout", "step3")]),
        ("step3", [("part:0", "step4"), ("", "step4")]),
        ("step4", [("", "end")]),
    ]


def test_what_earlier_releases_stored_is_read() -> None:
    send = {"template": "t", "channel": "email.smtp", "topic": "news", "coupon_pool": ""}
    assert steps_from_json([{"wait": 86_400_000_000}, {"send": send}]) == numbered(
        [Wait(DAY), Send("t", "email.smtp", "news")]
    )


@pytest.mark.parametrize(
    ("steps", "expected"),
    [
        (
            [Node("a", SEND, "b"), Node("b", Wait(DAY), "b")],
            [("steps[0]", "a", "dead end"), ("steps[1]", "b", "dead end")],
        ),
        ([Node("a", SEND, "end"), Node("b", SEND)], [("steps[1]", "b", "no way leads to")]),
        (
            [Node("a", SEND, "b"), Node("b", Split((Part(50, "a"),)), "end")],
            [("steps[0]", "a", "circle without a wait: a → b → a")],
        ),
        ([Node("a", SEND, "zz")], [("steps[0]", "a", "'zz', which is no step")]),
        ([Node("a", SEND), Node("a", Wait(DAY))], [("steps[0].id", "a", "id of steps[1] too")]),
        ([Node("End", SEND)], [("steps[0].id", "End", "no id of a step")]),
        ([Node("end", SEND)], [("steps[0].id", "end", "end of the journey")]),
        ([Wait(timedelta(0)), SEND], [("steps[0].wait.duration", "step1", "positive")]),
        ([Wait(DAY)], [("steps", "", "send or change")]),
        ([WaitUntil(time(1), (0,)), SEND], [("steps[0].wait_until.weekdays", "step1", "1 (Monday)")]),
        ([WaitUntil(time(1), (), "Mars/Base"), SEND], [("steps[0].wait_until.time_zone", "step1", "IANA")]),
        (
            [WaitEvent(Match("paid"), DAY), SEND],
            [("steps[0].wait_event.event.event_type", "step1", "no type")],
        ),
        (
            [WaitEvent(Match("segment.left"), DAY), SEND],
            [("steps[0].wait_event.event.segment", "step1", "is needed")],
        ),
        (
            [WaitEvent(Match("order.placed", "", "event.("), DAY), SEND],
            [("steps[0].wait_event.event.condition", "step1", "CEL")],
        ),
        ([WaitEvent(PAID, timedelta(0)), SEND], [("steps[0].wait_event.timeout", "step1", "positive")]),
        ([Branch(()), SEND], [("steps[0].branch.cases", "step1", "1 to 20")]),
        ([Branch((Case(" "),)), SEND], [("steps[0].branch.cases[0].rule", "step1", "empty")]),
        ([Split((Part(0),)), SEND], [("steps[0].split.parts[0].percent", "step1", "above 0")]),
        ([Split((Part(60), Part(60))), SEND], [("steps[0].split.parts", "step1", "120 %")]),
        ([Send("t", "c", "Big Sale")], [("steps[0].send.topic", "step1", "topic")]),
        ([SetAttribute("", "int", 1)], [("steps[0].set_attribute.attribute", "step1", "empty")]),
        ([ModifyTags()], [("steps[0].modify_tags.add_tags", "step1", "name a tag")]),
        ([ModifyTags(("a",), ("a",))], [("steps[0].modify_tags.add_tags", "step1", "added and removed")]),
        ([OpenCase("")], [("steps[0].open_case.subject", "step1", "empty")]),
        ([OpenTask(" ")], [("steps[0].open_task.title", "step1", "empty")]),
        ([OpenTask("x", due_after=-DAY)], [("steps[0].open_task.due_after", "step1", "negative")]),
        ([Webhook("ftp://x", "webhook")], [("steps[0].webhook.url", "step1", "http")]),
        ([Webhook("http://u:p@x.test", "webhook")], [("steps[0].webhook.url", "step1", "credentials")]),
    ],
)
def test_an_unsound_graph_is_refused_and_the_step_named(
    steps: list[Any], expected: list[tuple[str, str, str]]
) -> None:
    found = check_graph(steps)
    assert [(item.field, item.step) for item in found] == [item[:2] for item in expected]
    for item, (_, _, text) in zip(found, expected, strict=True):
        assert text in item.text


def journey(**values: Any) -> Journey:
    given: dict[str, Any] = {
        "id": "j",
        "display_name": "",
        "event_type": "order.placed",
        "segment": "",
        "reentry_after": None,
        "steps": [SEND],
        "active": False,
        "activate_time": None,
        "create_time": NOW,
    }
    return Journey(**(given | values))


@pytest.mark.parametrize(
    ("values", "fields"),
    [
        ({}, []),
        ({"event_type": "order"}, ["trigger.event_type"]),
        ({"condition": "event.total >"}, ["trigger.condition"]),
        ({"event_type": "date.reached"}, ["trigger.date"]),
        ({"date": DateRule("birth_date", 0, time(9), True)}, ["trigger.date"]),
        (
            {"event_type": "date.reached", "date": DateRule("birth_date", 999, time(9), True)},
            ["trigger.date.offset_days"],
        ),
        ({"event_type": "date.reached", "date": DateRule("birth_date", -7, time(9), True)}, []),
        (
            {"event_type": "date.reached", "date": DateRule("birth_date", 0, time(9), True, "Mars/Base")},
            ["trigger.date.time_zone"],
        ),
        ({"reentry_after": -DAY}, ["trigger.reentry_after"]),
        ({"reentry_after": timedelta.max}, ["trigger.reentry_after"]),
        ({"exits": [Match("order.placed"), Match("x")]}, ["exits[1].event_type"]),
        ({"goals": [Match("segment.entered")]}, ["goals[0].segment"]),
    ],
)
def test_a_journey_is_checked_as_a_whole(values: dict[str, Any], fields: list[str]) -> None:
    assert [item.field for item in check_journey(journey(**values))] == fields


def test_a_journey_listens_to_what_it_waits_for() -> None:
    made = journey(
        steps=numbered([WaitEvent(PAID, DAY), SEND]),
        exits=[Match("segment.left", "segments/vip")],
        goals=[PAID],
    )
    assert listens(made) == {("payment.received", ""), ("segment.left", "segments/vip")}


def test_conditions_on_events() -> None:
    event = {"total": {"amount": "62.5"}, "category": "shoes", "time": "2026-03-01T00:00:00+00:00"}
    assert condition_holds('event.category == "shoes" && double(event.total.amount) > 50.0', event)
    assert condition_holds('timestamp(event.time) >= timestamp("2026-01-01T00:00:00Z")', event)
    assert not condition_holds("event.missing > 1", event)
    assert not condition_holds("has(event.missing)", event)
    assert not condition_holds('"a text"', event)


@pytest.mark.parametrize(
    ("condition", "event"),
    [
        ("event.items.all(item, item >= 0)", {"items": list(range(20_000))}),
        ("event.name.matches(event.pattern)", {"name": "x", "pattern": "("}),
        ('timestamp(event.time) > timestamp("2026-01-01T00:00:00Z")', {"time": "soon"}),
        ("1 / int(event.number) == 1", {"number": "0"}),
        ('event.name == "x"', {"name": "\ud800"}),
    ],
)
def test_a_condition_that_cannot_be_evaluated_is_not_true(condition: str, event: dict[str, Any]) -> None:
    assert not condition_holds(condition, event)


def test_an_answer_counts_for_the_version_that_it_was_asked_for() -> None:
    """Somebody moves the entry to a newer version, whose branch is another one, while a service answers."""
    graph = make_graph([Node("b", Branch((Case("new", "mail"),)), "end"), Node("mail", SEND, "end")])
    entry = Entry(UUID(int=1), "j", 2, UUID(int=2), 0, "b", NOW, NOW)
    stale = advance(graph, entry, (), Known(1, 0, case=0), NOW)
    assert (stale.needs, stale.moves) == ("case", [])
    assert advance(graph, entry, (), Known(2, 0, case=0), NOW).outcome == "finished"


def test_events_that_nothing_can_hear_any_more_are_forgotten() -> None:
    graph = make_graph(
        [Node("one", Wait(DAY), "two"), Node("two", WaitEvent(Match("payment.received"), DAY), "mail"), SEND],
        goals=[Match("order.placed", condition="event.total > 9")],
    )
    entry = Entry(UUID(int=1), "j", 1, UUID(int=2), 0, "one", NOW, NOW, signalled=True)

    def small(hour: int) -> Signal:
        return Signal(UUID(int=hour), ("order.placed",), "", NOW + timedelta(hours=hour), {"total": 1})

    signals = [small(hour) for hour in (3, 23, 25)]
    assert advance(graph, entry, signals, None, NOW + DAY / 2).consumed == []
    # It stands in the second wait, which began after the first two.
    assert advance(graph, entry, signals, None, NOW + timedelta(hours=26)).consumed == [
        UUID(int=3),
        UUID(int=23),
    ]


def test_local_times_that_clocks_skip_or_show_twice() -> None:
    york = check_zone("America/New_York")
    # 8 March 2026: 02:00 becomes 03:00. 1 November 2026: 02:00 becomes 01:00.
    assert at_local(date(2026, 3, 8), time(2, 30), york) == datetime(2026, 3, 8, 7, 30, tzinfo=UTC)
    assert at_local(date(2026, 11, 1), time(1, 30), york) == datetime(2026, 11, 1, 5, 30, tzinfo=UTC)
    evening = datetime(2026, 3, 8, 1, 0, tzinfo=UTC)
    assert next_local(evening, time(2, 30), (), york) == datetime(2026, 3, 8, 7, 30, tzinfo=UTC)
    assert next_local(evening, time(2, 30), (1,), york) == datetime(2026, 3, 9, 6, 30, tzinfo=UTC)
    # Who waits for the time that it is waits for the next one.
    at = datetime(2026, 3, 9, 6, 30, tzinfo=UTC)
    assert next_local(at, time(2, 30), (), york) == at + DAY
    # Samoa left out 30 December 2011.
    apia = check_zone("Pacific/Apia")
    before = datetime(2011, 12, 29, 22, 0, tzinfo=ZoneInfo("Pacific/Apia"))
    assert next_local(before, time(9), (6,), apia).astimezone(apia).date() == date(2011, 12, 31)


@pytest.mark.parametrize("name", ["", "Mars/Base", "../../etc/passwd", "x" * 300, "\x00"])
def test_unknown_time_zones_are_refused(name: str) -> None:
    with pytest.raises(RuleError):
        check_zone(name)


def test_the_anniversary_of_a_leap_day() -> None:
    assert anniversaries(date(2027, 2, 28)) == ((2, 28), (2, 29))
    assert anniversaries(date(2028, 2, 28)) == ((2, 28),)
    assert anniversaries(date(2028, 2, 29)) == ((2, 29),)
    assert anniversaries(date(2100, 2, 28)) == ((2, 28), (2, 29))


def test_a_split_is_fair_and_always_the_same() -> None:
    split = Split((Part(20), Part(30)))
    people = [UUID(int=index) for index in range(10_000)]
    first = [part_of(split, "j", "s", key) for key in people]
    assert first == [part_of(split, "j", "s", key) for key in people]
    counts = Counter(first)
    # Five standard deviations of a fair split of 10,000.
    for index, share in ((0, 0.2), (1, 0.3), (-1, 0.5)):
        assert abs(counts[index] - 10_000 * share) < 5 * (10_000 * share * (1 - share)) ** 0.5
    other = [part_of(split, "j", "t", key) for key in people]
    assert sum(a == b for a, b in zip(first, other, strict=True)) < 5000


def signals_of(draw_times: list[int]) -> list[Signal]:
    return [
        Signal(UUID(int=index), (EVENTS[index % 2],), "", NOW + hours * HOUR, {})
        for index, hours in enumerate(draw_times)
    ]


def go(
    nodes: list[Node],
    contact: UUID,
    signals: list[Signal],
    looks: list[datetime],
    exits: tuple[Match, ...] = (),
) -> tuple[list[Step], Advance]:
    """Let an entry move at some times, as the worker does."""
    graph = make_graph(nodes, exits)
    entry = Entry(uuid4(), "j", 1, contact, 0, "", NOW, NOW)
    path: list[Step] = []
    known, used = None, set()
    last = None
    for now in looks:
        while True:
            heard = [item for item in signals if item.time <= now and item.event_id not in used]
            last = advance(graph, entry, sorted(heard, key=lambda item: item.time), known, now)
            path += [Step(item.step_id, item.edge, item.arrive_time, item.leave_time) for item in last.moves]
            used |= set(last.consumed)
            entry = Entry(
                entry.id, "j", 1, contact, last.step, last.step_id, NOW, last.arrive_time, bool(heard)
            )
            if last.needs != "case":
                break
            action = graph.nodes[last.step_id].action
            assert isinstance(action, Branch)
            true = [index for index, case in enumerate(action.cases) if holds(case.rule, contact)]
            known = Known(1, last.step, case=true[0] if true else -1)
        if last.outcome:
            break
        assert last.due_time > now
    assert last is not None
    return path, last


TIMES = st.lists(st.integers(0, 200), max_size=6, unique=True)
LOOKS = st.lists(st.integers(0, 200), min_size=1, max_size=8).map(lambda hours: sorted(set(hours)))


@given(graphs(), TIMES, LOOKS, st.uuids())
@settings(max_examples=60, deadline=None)
def test_people_go_where_the_graph_says_however_often_somebody_looks(
    nodes: list[Node], times: list[int], looks: list[int], contact: UUID
) -> None:
    assume(not check_graph(nodes))
    signals = signals_of(times)
    moments = [NOW + hours * HOUR for hours in looks]
    path, last = go(nodes, contact, signals, moments)
    assert path == walk(nodes, NOW, signals, moments[-1], "j", contact)
    assert bool(last.outcome) == (last.step_id == "end")


@given(graphs(), TIMES, LOOKS, st.integers(0, 200), st.uuids())
@settings(max_examples=40, deadline=None)
def test_an_exit_is_taken_before_any_step_that_was_not_taken_yet(
    nodes: list[Node], times: list[int], looks: list[int], left: int, contact: UUID
) -> None:
    assume(not check_graph(nodes))
    signals = signals_of(times)
    leaving = Signal(UUID(int=99), ("form.sent",), "", NOW + left * HOUR, {})
    moments = [NOW + hours * HOUR for hours in looks]
    path, last = go(nodes, contact, [*signals, leaving], moments, (Match("form.sent"),))
    before = [moment for moment in moments if moment < leaving.time]
    expected = walk(nodes, NOW, signals, before[-1], "j", contact) if before else []
    assert path == expected
    steps = {node.id: dict(node.exits()) for node in nodes}
    through = bool(path) and steps[path[-1].step_id][path[-1].edge] == "end"
    assert last.outcome == ("finished" if through else "exited" if len(before) < len(moments) else "")


def test_a_loop_ends_at_last() -> None:
    nodes = [
        Node("a", SEND, "b"),
        Node("b", Wait(HOUR), "c"),
        Node("c", Branch((Case("rule-a", "a"),)), "end"),
    ]
    contact = next(key for key in (UUID(int=index) for index in range(100)) if holds("rule-a", key))
    path, last = go(nodes, contact, [], [NOW + 400 * HOUR])
    assert (len(path), last.outcome) == (1000, "limit")


@pytest.mark.parametrize(
    ("schemes", "url", "problem"),
    [
        (("https",), "https://shop.test/hook", ""),
        (("https",), "http://shop.test/hook", "post calls https only, not http"),
        ((), "HTTP://shop.test/hook", "post calls https only, not http"),
        (("https", "http"), "http://shop.test/hook", ""),
    ],
)
def test_a_webhook_that_its_channel_would_not_call_is_refused(
    schemes: tuple[str, ...], url: str, problem: str
) -> None:
    record = ChannelRecord(
        "webhook", "webhook.post", 1, "webhook", False, 1, True, False, "hold", "", schemes
    )
    host: Any = SimpleNamespace(catalog=lambda: SimpleNamespace(channels={"webhook.post": record}))
    runtime: Any = SimpleNamespace()
    channels.provide(runtime, host)
    try:
        journey = Journey(
            id="j",
            display_name="J",
            event_type="order.placed",
            segment="",
            reentry_after=None,
            steps=numbered([Webhook(url, "webhook.post")]),
            active=False,
            activate_time=None,
            create_time=NOW,
        )
        found = local_problems(runtime, journey)
    finally:
        with channels._lock:
            del channels._hosts[id(runtime)]
    assert [item.field for item in found] == (["steps[0].webhook.url"] if problem else [])
    assert problem in "".join(item.text for item in found)
