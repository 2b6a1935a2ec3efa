"""Journeys halted, let go on and ended for those who are on them, whatever is under way at that moment."""

from __future__ import annotations

import threading
from datetime import UTC, datetime, time, timedelta
from typing import Any
from uuid import UUID

import pytest
import sqlalchemy as sa
from rapport_testing.smtp import SmtpServer

from services.campaign.domain.steps import Match, ModifyTags, Node, Wait, WaitEvent, WaitUntil
from services.campaign.models import journey_action, journey_entry, journey_signal, message
from services.campaign.store import claims, entries
from services.campaign.usecases import journey_actions, journey_control, journey_moving, journeys
from services.campaign.usecases.sending import Sender
from services.kit.errors import FailedPrecondition
from services.kit.runtime import Runtime
from tests.integration.campaign.test_campaign_journey_engine import edges, entries_of, look, told
from tests.integration.campaign.test_campaign_journeys import SEND, event, feed, state
from tests.support.campaign import NOW, World, clock_of, make_journey, make_template

DAY, HOUR = timedelta(days=1), timedelta(hours=1)


def change(runtime: Runtime, action: str, key: str = "thanks", reason: str = "") -> Any:
    return journey_control.change_state(runtime, action, key, reason)[0]


def at(runtime: Runtime, moment: datetime) -> None:
    clock_of(runtime).instant = moment


@pytest.fixture(autouse=True)
def template(runtime: Runtime) -> None:
    """The template that journeys name."""
    make_template(runtime)


def test_nobody_moves_in_a_pause_and_what_was_due_is_done_once_at_its_end(
    runtime: Runtime, world: World, sender: Sender, smtp: SmtpServer
) -> None:
    early, late = world.add(2)
    make_journey(runtime, [Wait(DAY), SEND, Wait(DAY), SEND])
    make_journey(runtime, [SEND], "other")
    feed(runtime, event(early))
    assert change(runtime, "pause").pause_time == NOW
    assert change(runtime, "pause").pause_time == NOW
    # Events start it on; the other journey is not held up.
    told(runtime, late, "order.placed", NOW + HOUR)
    look(runtime, NOW + 3 * DAY)
    assert (state(runtime)[:2], state(runtime)[2].audience) == ((2, 0), 0)
    assert sender.run_once() == 2
    look(runtime, NOW + 4 * DAY)
    assert change(runtime, "resume").pause_time is None
    for _ in range(2):
        journeys.advance_journeys(runtime)
    # The first wait was over long ago, and so would the second be, counted from then: it is counted from the end.
    assert [len(entries_of_(runtime, name).messages) for name in (early, late)] == [1, 1]
    assert sender.run_once() == 2
    look(runtime, NOW + 5 * DAY - timedelta(seconds=1))
    assert sender.run_once() == 0
    look(runtime, NOW + 5 * DAY)
    assert sender.run_once() == 2
    assert (state(runtime)[:2], state(runtime)[2].of("sent"), len(smtp.received())) == ((2, 2), 4, 6)


def entries_of_(runtime: Runtime, name: str) -> Any:
    return next(item for item in entries_of(runtime, name) if item.standing.journey_id == "thanks")


def test_a_local_time_that_passes_in_a_pause_is_waited_for_again(runtime: Runtime, world: World) -> None:
    [name] = world.add()
    make_journey(runtime, [WaitUntil(time(9), zone="Asia/Ho_Chi_Minh"), SEND])
    feed(runtime, event(name))
    change(runtime, "pause")
    # Nine o'clock there is 02:00 in UTC, which passes on the 2nd; the pause ends in the night to the 4th.
    at(runtime, datetime(2026, 3, 3, 20, 0, tzinfo=UTC))
    change(runtime, "resume")
    journeys.advance_journeys(runtime)
    [found] = entries_of(runtime, name)
    assert (found.path, found.standing.due_time) == ([], datetime(2026, 3, 4, 2, 0, tzinfo=UTC))
    look(runtime, datetime(2026, 3, 4, 2, 0, tzinfo=UTC))
    assert state(runtime)[1:] == (1, state(runtime)[2])
    assert state(runtime)[2].audience == 1


def test_what_happens_in_a_pause_counts_when_it_ends(runtime: Runtime, world: World) -> None:
    waiting, reached = world.add(2)
    steps = [
        Node("wait", WaitEvent(Match("payment.received"), 2 * DAY, "late"), "paid"),
        Node("paid", ModifyTags(("paid",)), "end"),
        Node("late", SEND, "end"),
    ]
    make_journey(runtime, steps, goals=(Match("order.returned"),))
    feed(runtime, event(waiting), event(reached))
    journeys.advance_journeys(runtime)
    change(runtime, "pause")
    told(runtime, waiting, "payment.received", NOW + HOUR)
    told(runtime, reached, "order.returned", NOW + HOUR)
    look(runtime, NOW + 5 * DAY)
    assert state(runtime)[:2] == (2, 0)
    change(runtime, "resume")
    journeys.advance_journeys(runtime)
    [found] = entries_of(runtime, waiting)
    assert edges(found) == [("wait", "event"), ("paid", "")]
    assert found.path[0].leave_time == NOW + 5 * DAY
    assert entries_of(runtime, reached)[0].standing.outcome == "goal"


def test_a_pause_amid_the_work_of_two_workers_loses_and_doubles_nothing(
    runtime: Runtime, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    people = world.add(600)
    make_journey(runtime, [SEND, Wait(DAY), SEND], reentry_after=timedelta(0))
    feed(runtime, *(event(name) for name in people))
    monkeypatch.setattr(journey_moving, "AT_ONCE", 50)
    both, moved = threading.Barrier(3), entries.move
    halted = threading.Event()
    batches: list[int] = []

    def at_work(connection: Any, moves: Any) -> None:
        moved(connection, moves)
        batches.append(len(moves))
        if len(batches) <= 2:
            both.wait(60)
            assert halted.wait(60)

    monkeypatch.setattr(entries, "move", at_work)
    workers = [threading.Thread(target=journeys.advance_journeys, args=(runtime,)) for _ in range(2)]
    for worker in workers:
        worker.start()
    both.wait(60)
    change(runtime, "pause")
    halted.set()
    for worker in workers:
        worker.join(60)
    # Both finish the batch that they had in hand, and take no other one.
    assert (batches, state(runtime)[2].audience) == ([50, 50], 100)
    journeys.advance_journeys(runtime)
    assert state(runtime)[2].audience == 100
    clock_of(runtime).instant += HOUR
    change(runtime, "resume")
    workers = [threading.Thread(target=journeys.advance_journeys, args=(runtime,)) for _ in range(2)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(60)
    assert state(runtime)[2].audience == 600
    look(runtime, NOW + DAY + HOUR)
    assert (state(runtime)[:2], state(runtime)[2].audience) == ((600, 600), 1200)


@pytest.mark.parametrize(("action", "left"), [("pause", "planned"), ("cancel", "cancelled")])
def test_a_message_that_a_sender_has_in_hand_does_not_leave(
    runtime: Runtime,
    world: World,
    sender: Sender,
    smtp: SmtpServer,
    monkeypatch: pytest.MonkeyPatch,
    action: str,
    left: str,
) -> None:
    world.add(2)
    make_journey(runtime, [SEND])
    feed(runtime, *(event(name) for name in world.people))
    journeys.advance_journeys(runtime)
    given = claims.hand_over

    def late(*arguments: Any) -> Any:
        monkeypatch.setattr(claims, "hand_over", given)
        change(runtime, action)
        return given(*arguments)

    monkeypatch.setattr(claims, "hand_over", late)
    sender.run_once()
    journey_control.cancel_rest(runtime)
    assert (state(runtime)[2].by_state, smtp.received()) == ({left: 2}, [])
    assert sender.run_once() == 0


def test_cancel_ends_all_who_are_on_it_with_its_reason(
    runtime: Runtime, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(journey_control, "AT_ONCE", 3)
    people = world.add(8)
    steps = [
        SEND,
        ModifyTags(("new",)),
        Node("wait", WaitEvent(Match("payment.received"), DAY, "end"), "end"),
    ]
    make_journey(runtime, steps)
    feed(runtime, *(event(name) for name in people))
    journeys.advance_journeys(runtime)
    told(runtime, people[0], "payment.received", NOW)
    cancelled = change(runtime, "cancel", reason="wrong price")
    assert (cancelled.active, cancelled.cancel_reason, cancelled.left_counts["cancelled"]) == (
        False,
        "wrong price",
        3,
    )
    journeys.advance_journeys(runtime)
    assert journey_actions.do_actions(runtime) == 0
    assert world.done == []
    while journey_control.cancel_rest(runtime):
        pass
    found, counts = journeys.get_journey(runtime, "thanks")
    assert (found.left_counts["cancelled"], found.finished_count) == (8, 0)
    assert counts.by_state == {"cancelled": 8}
    with runtime.db.read() as connection:
        ended = connection.execute(sa.select(journey_entry.c.end_reason, journey_entry.c.finish_time)).all()
        deeds = set(connection.scalars(sa.select(journey_action.c.state)))
        signals = connection.scalars(sa.select(journey_signal.c.event_id)).all()
    assert {tuple(row) for row in ended} == {("wrong price", NOW)}
    assert (deeds, signals) == ({"cancelled"}, [])
    # For good: another reason, events and activation change nothing.
    assert change(runtime, "cancel", reason="other").cancel_reason == "wrong price"
    assert told(runtime, people[1], "order.placed", NOW + DAY) == 0
    for deed in (
        lambda: change(runtime, "pause"),
        lambda: change(runtime, "resume"),
        lambda: journeys.set_active(runtime, "thanks", active=True),
    ):
        with pytest.raises(FailedPrecondition, match="is cancelled") as caught:
            deed()
        assert caught.value.reason == "JOURNEY_STATE"


def test_deeds_wait_for_the_end_of_a_pause(runtime: Runtime, world: World) -> None:
    [name] = world.add()
    make_journey(runtime, [ModifyTags(("new",))])
    feed(runtime, event(name))
    journeys.advance_journeys(runtime)
    change(runtime, "pause")
    assert journey_actions.do_actions(runtime) == 0
    change(runtime, "resume")
    assert journey_actions.do_actions(runtime) == 1
    assert [what for what, _ in world.done] == ["ModifyTags"]


def test_a_contact_is_taken_out_and_the_others_go_on(runtime: Runtime, world: World, sender: Sender) -> None:
    out, on = world.add(2)
    make_journey(runtime, [SEND, ModifyTags(("new",)), Wait(DAY), SEND], after_leaving=True)
    feed(runtime, event(out), event(on))
    journeys.advance_journeys(runtime)
    key = UUID(out.partition("/")[2])
    assert journey_control.remove_contacts(runtime, "thanks", [key], "asked to") == (1, 1)
    assert journey_control.remove_contacts(runtime, "thanks", [key], "asked to") == (0, 0)
    [told_] = entries_of(runtime, out)
    assert (told_.standing.outcome, told_.standing.end_reason) == ("removed", "asked to")
    with runtime.db.read() as connection:
        rows = connection.execute(sa.select(message.c.contact_id, message.c.state))
        states = {row.contact_id: row.state for row in rows}
    assert states == {key: "cancelled", UUID(on.partition("/")[2]): "planned"}
    assert journey_actions.do_actions(runtime) == 1
    look(runtime, NOW + DAY)
    assert sender.run_once() == 2
    found = journeys.get_journey(runtime, "thanks")[0]
    assert (found.finished_count, found.left_counts["removed"]) == (1, 1)
    # It may start again, as the journey's rule allows.
    assert told(runtime, out, "order.placed", NOW + DAY) == 1


def test_a_journey_with_many_due_leaves_room_for_the_others(
    runtime: Runtime, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    many = world.add(20)
    make_journey(runtime, [SEND], "many")
    make_journey(runtime, [SEND], "few", event_type="payment.received")
    feed(runtime, *(event(name) for name in many))
    told(runtime, many[0], "payment.received", NOW + HOUR)
    monkeypatch.setattr(journey_moving, "AT_ONCE", 4)
    with runtime.db.transaction() as connection:
        taken = entries.take_due(connection, runtime.clock.now(), 4)
    assert sorted(item.journey_id for item in taken) == ["few", "many", "many"]
