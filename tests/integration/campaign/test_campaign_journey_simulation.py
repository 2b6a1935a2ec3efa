"""Simulated journeys: a past period is replayed, and everybody goes where real entries went."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest
import sqlalchemy as sa
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from rapport.events.v1.events_pb2 import Event

from services.campaign.domain.graph import check_graph
from services.campaign.domain.hours import Hours, Span
from services.campaign.domain.journeys import Wait
from services.campaign.domain.policies import Cap, Policy
from services.campaign.domain.steps import Branch, Case, Match, ModifyTags, Node, WaitEvent, Webhook
from services.campaign.domain.triggers import DateRule, time
from services.campaign.models import journey_entry, journey_move, message, metadata
from services.campaign.store import dates
from services.campaign.usecases import journeys, policies, simulating
from services.campaign.usecases.past_events import SOURCES, PastEvents
from services.campaign.usecases.sending import Sender
from services.campaign.worker import Worker
from services.kit.errors import FailedPrecondition, InvalidArgument
from services.kit.runtime import Runtime
from tests.integration.campaign.test_campaign_journey_engine import PAYLOADS, key_of
from tests.integration.campaign.test_campaign_journeys import event, feed
from tests.support.campaign import NOW, World, clock_of, make_journey, make_template
from tests.support.campaign_journeys import EVENTS, RULES, SEND, graphs, holds
from tests.support.campaign_simulations import messages, others, simulate_journey, summary

HOUR, DAY = timedelta(hours=1), timedelta(days=1)
PAID = Match("payment.received")


def at(runtime: Runtime, moment: datetime) -> None:
    clock_of(runtime).instant = moment


def happen(world: World, name: str, kind: str, when: datetime, **fields: Any) -> Event:
    made = event(name, kind, PAYLOADS.get(kind), at=when, **fields)
    world.events.append(made)
    return made


def really(runtime: Runtime, events: Sequence[Event], until: datetime) -> None:
    """Feed events when they happen, with a worker that looks whenever something is due, until a time."""
    for item in [*sorted(events, key=lambda item: item.record_time.ToNanoseconds()), None]:
        stop = until if item is None else item.record_time.ToDatetime(tzinfo=UTC)
        while (due := _next_due(runtime)) is not None and due < stop:
            at(runtime, max(due, runtime.clock.now()))
            journeys.advance_journeys(runtime)
        at(runtime, stop)
        if item is not None:
            feed(runtime, item)
        journeys.advance_journeys(runtime)


def _next_due(runtime: Runtime) -> datetime | None:
    with runtime.db.read() as connection:
        query = sa.select(sa.func.min(journey_entry.c.due_time)).where(journey_entry.c.finish_time.is_(None))
        return connection.execute(query).scalar_one()


Path = tuple[tuple[str, str, datetime, datetime], ...]


def real_paths(runtime: Runtime) -> Counter[tuple[UUID, datetime, str, Path]]:
    found: Counter[tuple[UUID, datetime, str, Path]] = Counter()
    with runtime.db.read() as connection:
        for entry in connection.execute(sa.select(journey_entry)):
            moves = connection.execute(
                sa.select(journey_move)
                .where(journey_move.c.entry_id == entry.id)
                .order_by(journey_move.c.step)
            )
            path = tuple((row.step_id, row.edge, row.arrive_time, row.leave_time) for row in moves)
            found[entry.contact_id, entry.start_time, entry.outcome or "", path] += 1
    return found


def simulated_paths(runtime: Runtime, key: UUID, until: datetime) -> Counter[Any]:
    """Return paths as they were at a time: simulations go on beyond it."""
    found: Counter[Any] = Counter()
    for entry in simulating.list_entries(runtime, key, after=0, count=10_000):
        path = tuple(
            (step, edge, datetime.fromisoformat(arrive), datetime.fromisoformat(leave))
            for step, edge, _, arrive, leave in entry.path
        )
        done = entry.finish_time is not None and entry.finish_time <= until
        past = tuple(move for move in path if move[3] <= until)
        found[entry.contact_id, entry.start_time, entry.outcome if done else "", past] += 1
    return found


def clear(runtime: Runtime, world: World) -> None:
    with runtime.db.transaction() as connection:
        for table in reversed(metadata.sorted_tables):
            connection.execute(sa.delete(table))
    world.__dict__.update(World(members={"segments/all": []}).__dict__)
    world.rules = {rule: lambda name, rule=rule: holds(rule, key_of(name)) for rule in RULES}  # type: ignore[misc]
    at(runtime, NOW)
    make_template(runtime)


STARTS = st.lists(st.integers(0, 60), min_size=1, max_size=4, unique=True)
OTHERS = st.lists(st.integers(0, 150), max_size=5, unique=True)
AGAIN = st.sampled_from(
    [
        {"reentry_after": timedelta(0)},
        {"reentry_after": None},
        {"reentry_after": 20 * HOUR},
        {"reentry_after": 5 * HOUR, "after_leaving": True},
        {"after_leaving": True},
    ]
)


@given(graphs(), STARTS, OTHERS, AGAIN, st.booleans())
@settings(max_examples=6, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_everybody_goes_where_real_entries_went(
    runtime: Runtime,
    world: World,
    nodes: list[Node],
    started: list[int],
    times: list[int],
    again: dict[str, Any],
    exits: bool,
) -> None:
    assume(not check_graph(nodes))
    clear(runtime, world)
    people = world.add(3)
    # A minute apart, as two events of one moment have no order.
    plan = sorted((hour * 60, "order.placed") for hour in started) + [
        (hour * 60 + 7, EVENTS[index % 2]) for index, hour in enumerate(times)
    ]
    for minute, kind in sorted(plan):
        for name in people:
            happen(world, name, kind, NOW + timedelta(minutes=minute))
    leaving = {"exits": (Match("order.returned"),), "goals": (PAID,)} if exits else {}
    make_journey(runtime, nodes, **again, **leaving)
    end = NOW + 200 * HOUR
    really(runtime, world.events, end)
    before = others(runtime)
    key = simulate_journey(runtime, start_time=NOW, end_time=end)
    assert others(runtime) == before
    assert simulated_paths(runtime, key, end) == real_paths(runtime)
    with runtime.db.read() as connection:
        planned = Counter((row.contact_id, row.due_time) for row in connection.execute(sa.select(message)))
    foretold = Counter(
        (item.contact_id, item.plan_time) for item in messages(runtime, key) if item.plan_time <= end
    )
    assert foretold == planned


def test_messages_of_a_journey_wait_and_count_as_real_ones_do(
    runtime: Runtime, world: World, sender: Sender
) -> None:
    clear(runtime, world)
    people = [*world.add(2), *world.add(time_zone="Pacific/Auckland")]
    policy = Policy(
        id="default",
        channel="",
        topic="",
        hours=Hours(quiet=(Span(22 * 60, 8 * 60),)),
        caps=(Cap(2, DAY),),
        transactional=False,
        defer=False,
        revision=0,
        create_time=NOW,
        update_time=NOW,
    )
    policies.set_policy(runtime, policy, "")
    make_journey(runtime, [SEND, Wait(HOUR), SEND, Wait(HOUR), SEND], reentry_after=timedelta(0))
    for name in people:
        happen(world, name, "order.placed", NOW)
    for step in range(4 * 24):
        at(runtime, NOW + step * HOUR)
        if step == 0:
            feed(runtime, *world.events)
        journeys.advance_journeys(runtime)
        while sender.run_once():
            pass
    key = simulate_journey(runtime, start_time=NOW, end_time=NOW + HOUR)
    kinds = {"sent": "send", "suppressed": "refuse"}
    with runtime.db.read() as connection:
        rows = connection.execute(sa.select(message)).all()
    real = Counter((row.contact_id, kinds[row.state], row.reason, row.send_time) for row in rows)
    assert real == Counter(
        (item.contact_id, item.decision, item.reason, item.send_time) for item in messages(runtime, key)
    )
    assert summary(runtime, key)["refused_by_reason"] == {"FREQUENCY_CAP": "3"}


def test_only_who_started_in_the_period_is_followed(runtime: Runtime, world: World) -> None:
    clear(runtime, world)
    before, within, after = world.add(3)
    happen(world, before, "order.placed", NOW - HOUR)
    happen(world, within, "order.placed", NOW)
    happen(world, within, "order.placed", NOW + HOUR, historical=True)
    happen(world, after, "order.placed", NOW + DAY)
    happen(world, within, "payment.received", NOW + 2 * DAY)
    steps = [
        Node("wait", WaitEvent(PAID, 5 * DAY, "late"), "paid"),
        Node("paid", ModifyTags(("paid",)), "call"),
        Node("call", Webhook("https://shop.test/hook", "email.smtp"), "end"),
        Node("late", SEND, "end"),
    ]
    make_journey(runtime, steps)
    at(runtime, NOW + 3 * DAY)
    key = simulate_journey(runtime, start_time=NOW, end_time=NOW + DAY)
    [entry] = simulating.list_entries(runtime, key, after=0, count=10)
    assert (entry.contact_id, entry.outcome, entry.event_type) == (key_of(within), "finished", "order.placed")
    assert [move[:3] for move in entry.path] == [
        ["wait", "event", "paid"],
        ["paid", "", "call"],
        ["call", "", "end"],
    ]
    found = summary(runtime, key)
    assert (found["start_count"], found["actions"], found["outcomes"]) == (
        "1",
        {"modify_tags": "1"},
        {"finished": "1"},
    )
    [call] = messages(runtime, key)
    assert (call.step_id, call.template_id, call.decision, call.send_time) == (
        "call",
        "",
        "send",
        NOW + 2 * DAY,
    )
    assert {step["step"]: step.get("entered_count", "0") for step in found["steps"]} == {
        "wait": "1",
        "paid": "1",
        "call": "1",
        "late": "0",
    }
    # Who is on its way today is followed into what is to come: nobody pays, as far as is known.
    key = simulate_journey(runtime, start_time=NOW + DAY)
    [message_] = messages(runtime, key)
    assert (message_.contact_id, message_.send_time) == (key_of(after), NOW + 6 * DAY)


def test_who_was_on_it_before_the_period_starts_it_again_only_as_its_rule_allows(
    runtime: Runtime, world: World
) -> None:
    clear(runtime, world)
    known, fresh = world.add(2)
    make_journey(runtime, [SEND])
    feed(runtime, event(known, at=NOW))
    journeys.advance_journeys(runtime)
    for name in (known, fresh):
        happen(world, name, "order.placed", NOW + DAY)
    at(runtime, NOW + 2 * DAY)
    key = simulate_journey(runtime, start_time=NOW + HOUR)
    assert [item.contact_id for item in messages(runtime, key)] == [key_of(fresh)]


def test_who_is_held_out_of_a_journey_gets_nothing_in_a_simulation_either(
    runtime: Runtime, world: World
) -> None:
    clear(runtime, world)
    people = world.add(30)
    make_journey(runtime, [SEND], hold_out_percent=50.0)
    events = [happen(world, name, "order.placed", NOW) for name in people]
    at(runtime, NOW + HOUR)
    feed(runtime, *events)
    journeys.advance_journeys(runtime)
    found = journeys.get_journey(runtime, "thanks")[0]
    held = found.left_counts["held_out"]
    assert 0 < held < 30
    key = simulate_journey(runtime, start_time=NOW, end_time=NOW + HOUR)
    told = summary(runtime, key)
    assert told["outcomes"] == {"held_out": str(held), "finished": str(30 - held)}
    with runtime.db.read() as connection:
        sent = set(connection.scalars(sa.select(message.c.contact_id)))
    assert {item.contact_id for item in messages(runtime, key)} == sent


def test_rules_are_asked_as_of_the_moment_of_the_step(runtime: Runtime, world: World) -> None:
    clear(runtime, world)
    [name] = world.add()
    world.rules["gold"] = lambda contact: True
    world.past_rules["gold"] = lambda contact: False
    happen(world, name, "order.placed", NOW)
    steps = [
        Node("early", Branch((Case("gold", "rich"),)), "pause"),
        Node("pause", Wait(5 * DAY), "later"),
        Node("later", Branch((Case("gold", "rich"),)), "end"),
        Node("rich", SEND, "end"),
    ]
    make_journey(runtime, steps)
    at(runtime, NOW + 2 * DAY)
    world.matched.clear()
    key = simulate_journey(runtime, start_time=NOW)
    [entry] = simulating.list_entries(runtime, key, after=0, count=10)
    assert [(move[0], move[1]) for move in entry.path] == [
        ("early", ""),
        ("pause", ""),
        ("later", "case:0"),
        ("rich", ""),
    ]
    asked = [item.as_of_time.ToDatetime(tzinfo=UTC) for item in world.matched if item.HasField("as_of_time")]
    assert asked == [NOW]


def test_what_is_no_longer_kept_is_told(runtime: Runtime, world: World) -> None:
    clear(runtime, world)
    for hour in range(6):
        [name] = world.add()
        happen(world, name, "order.placed", NOW + hour * HOUR)
    world.purged = 2
    make_journey(runtime, [SEND])
    at(runtime, NOW + DAY)
    found = summary(runtime, simulate_journey(runtime, start_time=NOW))
    assert found["start_count"] == "4"
    assert any(
        text == "events of sales from before 2026-03-01T14:00:00+00:00 are no longer kept, and are left out"
        for text in found["assumptions"]
    )
    found = summary(runtime, simulate_journey(runtime, start_time=NOW + 3 * HOUR))
    assert found["start_count"] == "3"
    assert not [text for text in found["assumptions"] if "no longer kept" in text]


@pytest.mark.parametrize("since", [-1, 0, 7, 50, 99, 100])
def test_the_beginning_of_a_period_is_found_in_the_streams(
    runtime: Runtime, world: World, since: int
) -> None:
    clear(runtime, world)
    [name] = world.add()
    kinds = ("order.placed", "payment.received", "order.returned")
    for hour in range(100):
        happen(world, name, kinds[hour % 3], NOW + hour * HOUR)
    world.purged = 3
    events = list(PastEvents(runtime, {"order.placed", "order.returned"}, NOW + since * HOUR))
    expected = [hour for hour in range(max(3, since), 100) if hour % 3 != 1]
    assert [item.record_time.ToDatetime(tzinfo=UTC) for item in events] == [
        NOW + hour * HOUR for hour in expected
    ]


def test_dates_that_came_round(runtime: Runtime, world: World) -> None:
    clear(runtime, world)
    [name] = world.add()
    rule = DateRule("birth_date", 0, time(9), True, "Europe/Berlin")
    make_journey(runtime, [SEND], event_type="date.reached", date=rule)
    known = dates.Known("birth_date", key_of(name), datetime(1990, 3, 3).date(), "Europe/Berlin", 1)
    with runtime.db.transaction() as connection:
        dates.learn(connection, [known])
    at(runtime, NOW + 5 * DAY)
    key = simulate_journey(runtime, start_time=NOW)
    [found] = messages(runtime, key)
    assert found.send_time == datetime(2026, 3, 3, 8, tzinfo=UTC)
    with runtime.db.transaction() as connection:
        connection.execute(sa.text("DELETE FROM date_attribute"))
    with pytest.raises(FailedPrecondition) as caught:
        simulate_journey(runtime)
    assert caught.value.reason == "DATES_UNKNOWN"


def test_periods_that_make_no_sense(runtime: Runtime, world: World) -> None:
    clear(runtime, world)
    make_journey(runtime, [SEND])
    for start, end in ((NOW, NOW), (NOW - 367 * DAY, NOW), (NOW, NOW + HOUR)):
        with pytest.raises(InvalidArgument):
            simulate_journey(runtime, start_time=start, end_time=end)


def test_the_streams_that_are_replayed_are_those_that_the_worker_follows() -> None:
    followed = set()
    for method in vars(Worker).values():
        for entrypoint in getattr(method, "nameko_entrypoints", ()):
            if getattr(method, "__name__", "").startswith("start_from_"):
                followed |= {(entrypoint.source, name) for name in entrypoint.types}
    assert followed == {(source, name) for source, names in SOURCES.items() for name in names}
