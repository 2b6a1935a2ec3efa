"""Journeys on a database: people take each step once, whatever dies, and events are heard at the right time."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest
import sqlalchemy as sa
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from rapport.contacts.v1 import contacts_pb2
from rapport.sales.v1 import events_pb2 as sales_events
from rapport.segmentation.v1 import events_pb2 as segment_events

from services.campaign.domain.graph import check_graph
from services.campaign.domain.stepping import Signal, advance
from services.campaign.domain.steps import (
    Branch,
    Case,
    Match,
    ModifyTags,
    Node,
    OpenCase,
    OpenTask,
    SetAttribute,
    Wait,
    WaitEvent,
    WaitUntil,
    time,
)
from services.campaign.models import journey_entry, journey_move, journey_signal, message, metadata
from services.campaign.store import entries, journey_actions
from services.campaign.usecases import journey_actions as doing
from services.campaign.usecases import journey_history, journey_moving, journeys, parting
from services.kit.errors import Aborted, FailedPrecondition, InvalidArgument, Unavailable
from services.kit.runtime import Runtime
from tests.integration.campaign.test_campaign_journeys import event, feed, state
from tests.support.campaign import (
    NOW,
    World,
    clock_of,
    make_journey,
    make_template,
    update_journey,
)
from tests.support.campaign_journeys import EVENTS, RULES, SEND, graphs, holds, walk
from tests.support.partings import batch

DAY, HOUR = timedelta(days=1), timedelta(hours=1)
PAID = Match("payment.received")
PAYLOADS = {
    "payment.received": sales_events.PaymentReceived(),
    "order.returned": sales_events.OrderReturned(),
}


def key_of(name: str) -> UUID:
    return UUID(name.partition("/")[2])


def at(runtime: Runtime, moment: datetime) -> None:
    clock_of(runtime).instant = moment


def look(runtime: Runtime, moment: datetime) -> None:
    at(runtime, moment)
    journeys.advance_journeys(runtime)


def told(runtime: Runtime, name: str, kind: str, when: datetime, **fields: Any) -> int:
    at(runtime, max(when, runtime.clock.now()))
    return feed(runtime, event(name, kind, PAYLOADS.get(kind), at=when, **fields))


def entries_of(runtime: Runtime, name: str) -> list[journey_history.Told]:
    found = journey_history.list_entries(
        runtime,
        journey_id="",
        contact_id=key_of(name),
        only_open=False,
        step_id="",
        before=None,
        count=10,
    )
    return [journey_history.get_entry(runtime, item.id) for item in found]


def edges(told_: journey_history.Told) -> list[tuple[str, str]]:
    return [(taken.step_id, taken.edge) for taken in told_.path]


class Crash(Exception):
    """Stand for the death of a worker just before its commit."""


@pytest.fixture
def unlucky(monkeypatch: pytest.MonkeyPatch) -> Iterator[random.Random]:
    """Let transactions of the worker die before their commit, every second one."""
    chance = random.Random(0)

    def dying(inner: Any) -> Any:
        def call(*arguments: Any, **options: Any) -> Any:
            found = inner(*arguments, **options)
            if chance.random() < 0.5:
                raise Crash
            return found

        return call

    monkeypatch.setattr(entries, "move", dying(entries.move))
    monkeypatch.setattr(entries, "signal", dying(entries.signal))
    return chance


def in_spite(deed: Any, *arguments: Any) -> None:
    """Do something again until nothing dies."""
    while True:
        try:
            deed(*arguments)
        except Crash:
            continue
        return


def test_an_entry_that_cannot_be_moved_holds_up_no_other(
    runtime: Runtime, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    broken, whole = world.add(2)
    make_template(runtime)
    make_journey(runtime, [Wait(DAY), SEND])
    feed(runtime, event(broken), event(whole))

    def breaking(graph: Any, entry: Any, *rest: Any) -> Any:
        if entry.contact_id == key_of(broken):
            raise ZeroDivisionError
        return advance(graph, entry, *rest)

    monkeypatch.setattr(journey_moving, "advance", breaking)
    look(runtime, NOW + DAY)
    assert state(runtime)[1] == 1
    [stuck] = entries_of(runtime, broken)
    assert (stuck.standing.problem, stuck.standing.outcome) == ("it cannot be moved: ZeroDivisionError", "")
    monkeypatch.undo()
    look(runtime, NOW + DAY + HOUR)
    [freed] = entries_of(runtime, broken)
    assert (state(runtime)[1], freed.standing.problem) == (2, "")


TIMES = st.lists(st.integers(0, 150), max_size=5, unique=True)
LOOKS = st.lists(st.integers(0, 150), min_size=1, max_size=4).map(lambda hours: sorted(set(hours)))


@given(graphs(), TIMES, LOOKS, st.integers(0, 2**30))
@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_everybody_goes_where_the_graph_says_and_each_message_is_planned_once(
    runtime: Runtime,
    world: World,
    unlucky: random.Random,
    nodes: list[Node],
    times: list[int],
    looks: list[int],
    seed: int,
) -> None:
    """The interpreter is the judge; before each commit a worker may die, and then another one goes on."""
    assume(not check_graph(nodes))
    unlucky.seed(seed)
    with runtime.db.transaction() as connection:
        for table in reversed(metadata.sorted_tables):
            connection.execute(sa.delete(table))
    world.rules = {rule: lambda name, rule=rule: holds(rule, key_of(name)) for rule in RULES}  # type: ignore[misc]
    at(runtime, NOW)
    people = world.add(4)
    make_template(runtime)
    make_journey(runtime, nodes)
    in_spite(feed, runtime, *(event(name) for name in people))
    signals: dict[str, list[Signal]] = {name: [] for name in people}
    plan = sorted(
        [(hours, "event", index) for index, hours in enumerate(times)] + [(h, "look", 0) for h in looks]
    )
    for hours, what, index in plan:
        at(runtime, NOW + hours * HOUR)
        if what == "look":
            in_spite(journeys.advance_journeys, runtime)
            continue
        kind = EVENTS[index % 2]
        made = [event(name, kind, PAYLOADS[kind], at=runtime.clock.now()) for name in people]
        for name, item in zip(people, made, strict=True):
            signals[name].append(Signal(UUID(item.id), (kind,), "", runtime.clock.now(), {}))
        in_spite(feed, runtime, *made)
    last = NOW + looks[-1] * HOUR
    sent = 0
    for name in people:
        [found] = entries_of(runtime, name)
        heard = [item for item in signals[name] if item.time <= last]
        expected = walk(nodes, NOW, heard, last, "thanks", key_of(name))
        got = [(one.step_id, one.edge, one.arrive_time, one.leave_time) for one in found.path]
        assert got == [(one.step_id, one.edge, one.arrive, one.leave) for one in expected]
        senders = {node.id for node in nodes if node.action == SEND}
        sends = {number for number, one in enumerate(expected) if one.step_id in senders}
        assert set(found.messages) == sends
        sent += len(sends)
    assert state(runtime)[2].audience == sent


WAITING = [
    Node("wait", WaitEvent(PAID, 2 * DAY, "late"), "paid"),
    Node("paid", ModifyTags(("paid",)), "end"),
    Node("late", SEND, "end"),
]


@pytest.mark.parametrize(
    ("when", "looks", "expected"),
    [
        # Recorded before it waited, although told later; while it waited; at its last moment; after.
        (-HOUR, [DAY, 3 * DAY], [("wait", "timeout"), ("late", "")]),
        (timedelta(0), [DAY], [("wait", "event"), ("paid", "")]),
        (DAY, [3 * DAY], [("wait", "event"), ("paid", "")]),
        (2 * DAY, [2 * DAY], [("wait", "event"), ("paid", "")]),
        (2 * DAY + HOUR, [3 * DAY], [("wait", "timeout"), ("late", "")]),
    ],
)
def test_events_before_during_and_after_a_wait(
    runtime: Runtime,
    world: World,
    when: timedelta,
    looks: Sequence[timedelta],
    expected: list[tuple[str, str]],
) -> None:
    [name] = world.add()
    make_template(runtime)
    make_journey(runtime, WAITING)
    feed(runtime, event(name))
    told(runtime, name, "payment.received", NOW + when)
    for moment in looks:
        look(runtime, NOW + moment)
    [found] = entries_of(runtime, name)
    assert edges(found) == expected
    with runtime.db.read() as connection:
        assert connection.execute(sa.select(sa.func.count()).select_from(journey_signal)).scalar_one() == 0


def test_an_event_in_the_batch_that_started_the_journey_is_heard(runtime: Runtime, world: World) -> None:
    [name] = world.add()
    make_template(runtime)
    make_journey(runtime, WAITING)
    before = event(name, "payment.received", PAYLOADS["payment.received"], at=NOW)
    after = event(name, "payment.received", PAYLOADS["payment.received"], at=NOW + 2 * HOUR)
    at(runtime, NOW + 3 * HOUR)
    feed(runtime, before, event(name, at=NOW + HOUR), after)
    look(runtime, NOW + 3 * HOUR)
    [found] = entries_of(runtime, name)
    assert found.path[0].leave_time == NOW + 2 * HOUR


def test_conditions_on_what_starts_and_on_what_is_waited_for(runtime: Runtime, world: World) -> None:
    [name] = world.add()
    make_template(runtime)
    paid = Match("payment.received", "", 'event.method == "card"')
    make_journey(
        runtime,
        [WaitEvent(paid, DAY), SEND],
        condition='event.category == "shoes"',
        reentry_after=timedelta(0),
    )
    feed(runtime, event(name, payload=sales_events.OrderPlaced(category="hats")))
    assert state(runtime)[0] == 0
    feed(runtime, event(name, payload=sales_events.OrderPlaced(category="shoes")))
    assert state(runtime)[0] == 1
    for method, taken in (("cash", 0), ("card", 2)):
        payload = sales_events.PaymentReceived(method=method)
        feed(runtime, event(name, "payment.received", payload))
        journeys.advance_journeys(runtime)
        assert len(entries_of(runtime, name)[0].path) == taken


def member(name: str, kind: str = "segment.left") -> Any:
    return event(name, kind, segment_events.MembershipChanged(segment="segments/vip"))


def test_goals_and_exits_end_a_journey_before_its_next_step(runtime: Runtime, world: World) -> None:
    buyer, leaver, other = world.add(3)
    world.members["segments/vip"] = []
    make_template(runtime)
    make_journey(runtime, [Wait(DAY), SEND], goals=(PAID,), exits=(Match("segment.left", "segments/vip"),))
    feed(runtime, *(event(name) for name in (buyer, leaver, other)))
    feed(
        runtime, member(leaver), event(buyer, "payment.received", PAYLOADS["payment.received"]), member(buyer)
    )
    look(runtime, NOW + 2 * DAY)
    found, counts = journeys.get_journey(runtime, "thanks")
    assert (found.finished_count, counts.audience) == (1, 1)
    left = {name: count for name, count in found.left_counts.items() if count}
    assert left == {"goal": 1, "exited": 1}
    assert [entries_of(runtime, name)[0].standing.outcome for name in (buyer, leaver, other)] == [
        "goal",
        "exited",
        "finished",
    ]
    version, flow = journey_history.get_flow(runtime, "thanks", 0)
    assert version == 1
    assert [(one.entered, one.waiting, one.dropped, one.exits) for one in flow] == [
        (3, 0, 2, [("", "step2", 1)]),
        (1, 0, 0, [("", "end", 1)]),
    ]


def test_a_branch_waits_for_an_answer_and_holds_up_nobody_else(runtime: Runtime, world: World) -> None:
    asked, other = world.add(2)
    make_template(runtime)
    world.rules["contact.age > 30"] = lambda name: name == asked
    make_journey(
        runtime,
        [
            Node("b", Branch((Case("contact.age > 30", "old"),)), "young"),
            Node("old", SEND, "end"),
            Node("young", Wait(DAY), "more"),
            Node("more", SEND, "end"),
        ],
    )
    make_journey(runtime, [SEND], "plain")
    world.down = True
    feed(runtime, event(asked), event(other))
    journeys.advance_journeys(runtime)
    assert state(runtime, "plain")[2].audience == 2
    found = next(one for one in entries_of(runtime, asked) if one.standing.journey_id == "thanks")
    assert "away" in found.standing.problem
    assert journey_history.get_flow(runtime, "thanks", 0)[1][0].held == 2
    world.down = False
    look(runtime, NOW + timedelta(minutes=1))
    assert state(runtime)[2].audience == 1
    look(runtime, NOW + 2 * DAY)
    assert state(runtime)[1:] == (2, state(runtime)[2])
    assert state(runtime)[2].audience == 2
    # Asked late, the way is of that moment, and time counts on from when the step was reached.
    late = next(one for one in entries_of(runtime, other) if one.standing.journey_id == "thanks")
    assert [taken.leave_time for taken in late.path] == [NOW, NOW + DAY, NOW + DAY]
    assert not late.standing.problem


def test_a_wait_until_goes_by_the_contacts_own_clock(runtime: Runtime, world: World) -> None:
    [east] = world.add(time_zone="Asia/Tokyo")
    [west] = world.add(time_zone="America/Los_Angeles")
    [nowhere] = world.add(time_zone="Mars/Base")
    make_template(runtime)
    make_journey(runtime, [WaitUntil(time(9)), SEND])
    feed(runtime, *(event(name) for name in (east, west, nowhere)))
    journeys.advance_journeys(runtime)
    look(runtime, NOW + 2 * DAY)
    # NOW is noon in UTC: 21:00 in Tokyo, 04:00 in Los Angeles.
    left = {name: entries_of(runtime, name)[0].path[0].leave_time - NOW for name in (east, west, nowhere)}
    assert left == {east: 12 * HOUR, west: 5 * HOUR, nowhere: 21 * HOUR}


DEEDS = [
    Node("a", SetAttribute("level", "int", 3), "b"),
    Node("b", ModifyTags(("new",), ("old",)), "c"),
    Node("c", OpenCase("Call", "soon", "queues/help", "high"), "d"),
    Node("d", OpenTask("Ring", "gently", "queues/help", "agents/ana", "low", DAY), "end"),
]


def test_deeds_are_done_in_order_once_although_workers_die(
    runtime: Runtime, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    [name] = world.add()
    world.attributes["level"] = contacts_pb2.VALUE_TYPE_INT
    make_journey(runtime, DEEDS)
    feed(runtime, event(name))
    journeys.advance_journeys(runtime)
    world.down = True
    assert doing.do_actions(runtime) == 1
    assert world.done == []
    world.down = False

    def crash(*arguments: Any) -> None:
        raise Crash

    for minutes in (10, 20, 30, 40):
        at(runtime, NOW + timedelta(minutes=minutes))
        with monkeypatch.context() as patch:
            patch.setattr(journey_actions, "record", crash)
            with pytest.raises(Crash):
                doing.do_actions(runtime)
        at(runtime, NOW + timedelta(minutes=minutes + 5))
        doing.do_actions(runtime)
        if len(world.done) == 4:
            break
    assert Counter(what for what, _ in world.done)["UpdateContact"] == 1
    assert Counter(what for what, _ in world.done)["CreateCase"] == 1
    assert list(dict.fromkeys(what for what, _ in world.done)) == [
        "UpdateContact",
        "ModifyTags",
        "CreateCase",
        "CreateTask",
    ]
    assert Counter(what for what, _ in world.done)["CreateTask"] == 1
    update = world.done[0][1]
    assert update.contact.attributes["level"].int_value == 3
    assert list(update.update_mask.paths) == ["attributes.level"]
    case = next(request.case for what, request in world.done if what == "CreateCase")
    assert (case.contact, case.subject, case.queue) == (name, "Call", "queues/help")
    task = world.done[-1][1].task
    assert (task.contact, task.title, task.text) == (name, "Ring", "gently")
    assert (task.queue, task.assignee, task.source) == ("queues/help", "agents/ana", "journeys/thanks")
    # Counted from when the step was taken, however late it is done.
    assert task.due_time.ToDatetime(UTC) == NOW + DAY
    [found] = entries_of(runtime, name)
    assert [found.deeds[number][0] for number in range(4)] == ["done"] * 4


def test_a_deed_that_is_refused_fails_and_says_why(runtime: Runtime, world: World) -> None:
    [name] = world.add()
    make_journey(runtime, [OpenCase("Call", queue="queues/help")])
    feed(runtime, event(name))
    journeys.advance_journeys(runtime)
    with runtime.db.transaction() as connection:
        connection.exec_driver_sql(
            "UPDATE journey_action SET body = jsonb_set(body, '{queue}', '\"queues/gone\"')"
        )
    doing.do_actions(runtime)
    state_, reason = entries_of(runtime, name)[0].deeds[0]
    assert state_ == "failed"
    assert "queues/gone" in reason


def test_what_a_journey_names_is_looked_up_before_it_is_active(runtime: Runtime, world: World) -> None:
    make_template(runtime)
    world.attributes["level"] = contacts_pb2.VALUE_TYPE_STRING
    steps = [
        Node("b", Branch((Case("no such rule", "end"),)), "w"),
        Node("w", WaitEvent(Match("segment.entered", "segments/none"), DAY, "a"), "a"),
        Node("a", SetAttribute("level", "int", 1), "t"),
        Node("t", SetAttribute("none", "int", 1), "c"),
        Node("c", OpenCase("Call", queue="queues/none"), "o"),
        Node("o", OpenTask("Ring", queue="queues/none", assignee="agents/none"), "s"),
        Node("s", SEND, "end"),
    ]
    with pytest.raises(InvalidArgument) as caught:
        make_journey(runtime, steps, exits=(Match("segment.left", "segments/none"),))
    assert caught.value.reason == "INVALID_JOURNEY"
    assert {item.field for item in caught.value.violations} == {
        "journey.steps[0].branch.cases[0].rule",
        "journey.steps[1].wait_event.event.segment",
        "journey.steps[2].set_attribute.attribute",
        "journey.steps[3].set_attribute.attribute",
        "journey.steps[4].open_case.queue",
        "journey.steps[5].open_task.queue",
        "journey.steps[5].open_task.assignee",
        "journey.exits[0].segment",
    }
    assert not journeys.get_journey(runtime, "thanks")[0].active
    world.down = True
    with pytest.raises(Unavailable):
        journeys.set_active(runtime, "thanks", active=True)


def test_reentry_after_leaving(runtime: Runtime, world: World) -> None:
    [name] = world.add()
    make_template(runtime)
    make_journey(runtime, [Wait(2 * DAY), SEND], after_leaving=True, reentry_after=DAY)
    started = []
    for day in (0, 1, 2.5, 3.1):
        moment = NOW + day * DAY
        look(runtime, moment)
        feed(runtime, event(name, at=moment))
        started.append(state(runtime)[0])
    # It is over after two days, and may be begun again one day later.
    assert started == [1, 1, 1, 2]


def test_who_is_on_a_version_finishes_on_it_unless_migrated(runtime: Runtime, world: World) -> None:
    first, second = world.add(2)
    make_template(runtime)
    make_template(runtime, "bye")
    make_journey(runtime, [Node("pause", Wait(2 * DAY), "mail"), Node("mail", SEND, "end")])
    feed(runtime, event(first))
    journeys.advance_journeys(runtime)
    changed = update_journey(
        runtime,
        steps=(Node("hold", Wait(5 * DAY), "mail"), Node("mail", SEND, "again"), Node("again", SEND, "end")),
    )
    assert (changed.version, changed.active) == (2, True)
    assert update_journey(runtime, display_name="Other").version == 2
    feed(runtime, event(second))
    with pytest.raises(FailedPrecondition) as unmapped:
        journeys.migrate_journey(runtime, "thanks", {}, 0)
    assert unmapped.value.metadata["steps"] == "pause"
    with pytest.raises(InvalidArgument) as wrong:
        journeys.migrate_journey(runtime, "thanks", {"pause": "none"}, 0)
    assert wrong.value.reason == "INVALID_MAPPING"
    look(runtime, NOW + DAY)
    assert [item.standing.version for item in entries_of(runtime, first)] == [1]
    assert journeys.migrate_journey(runtime, "thanks", {"pause": "hold"}, 0) == (1, 2)
    assert journeys.migrate_journey(runtime, "thanks", {"pause": "hold"}, 0) == (0, 2)
    look(runtime, NOW + 3 * DAY)
    assert state(runtime)[2].audience == 0
    look(runtime, NOW + 5 * DAY)
    # The wait counts from when it began, by the rule of the new version.
    assert state(runtime)[1:] == (2, state(runtime)[2])
    assert edges(entries_of(runtime, first)[0]) == [("hold", ""), ("mail", ""), ("again", "")]
    listed = journeys.list_versions(runtime, "thanks", before=99, count=10)
    assert [(item[0], item[3]) for item in listed] == [(2, 0), (1, 0)]


def test_a_stale_version_is_not_replaced(runtime: Runtime) -> None:
    make_template(runtime)
    make_journey(runtime, [SEND])
    update_journey(runtime, steps=(Wait(DAY), SEND))
    present = journeys.get_journey(runtime, "thanks")[0]
    with pytest.raises(Aborted), runtime.db.transaction() as connection:
        journeys.update_journey(runtime, connection, present, 1)


def test_deeds_signals_and_dates_follow_a_merge_and_leave_with_an_erasure(
    runtime: Runtime, world: World
) -> None:
    first, second, third = world.add(3)
    make_template(runtime)
    make_journey(runtime, [ModifyTags(("new",)), WaitEvent(PAID, 2 * DAY), SEND])
    feed(runtime, event(first), event(third))
    journeys.advance_journeys(runtime)
    told(runtime, third, "payment.received", NOW)
    parting.let_go(runtime, batch((key_of(first), key_of(second)), (key_of(third), None)))
    doing.do_actions(runtime)
    assert [request.name for _, request in world.done] == [second]
    # The wait of the contact that remains hears of what happens to it.
    told(runtime, second, "payment.received", NOW + HOUR)
    journeys.advance_journeys(runtime)
    assert edges(entries_of(runtime, second)[0]) == [("step1", ""), ("step2", "event"), ("step3", "")]
    with runtime.db.read() as connection:
        rows = connection.execute(
            sa.select(journey_entry.c.outcome, journey_entry.c.event).where(
                journey_entry.c.contact_id == UUID(int=0)
            )
        ).all()
        assert connection.execute(sa.select(sa.func.count()).select_from(journey_signal)).scalar_one() == 0
        assert connection.execute(sa.select(sa.func.count()).select_from(journey_move)).scalar_one() == 4
        assert connection.execute(sa.select(sa.func.count()).select_from(message)).scalar_one() == 1
    assert [tuple(row) for row in rows] == [("erased", {})]
