"""Journeys: which events start them, when steps are due, and what they send."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

import pytest
import sqlalchemy as sa
from google.protobuf.message import Message
from rapport.contacts.v1 import contacts_pb2
from rapport.contacts.v1 import events_pb2 as contact_events
from rapport.events.v1.events_pb2 import Event
from rapport.sales.v1 import events_pb2 as sales_events
from rapport.segmentation.v1 import events_pb2 as segment_events
from rapport.type.v1.money_pb2 import Money
from rapport_testing.smtp import SmtpServer

from services.campaign.domain.journeys import Send, Wait
from services.campaign.domain.ledger import Counts
from services.campaign.models import journey_entry
from services.campaign.usecases import evergreen, journey_checks, journeys
from services.campaign.usecases.sending import Sender
from services.kit.bus.batch import EventBatch
from services.kit.errors import InvalidArgument, Unavailable
from services.kit.names import new_id
from services.kit.runtime import Runtime
from tests.support.campaign import (
    NOW,
    World,
    clock_of,
    make_journey,
    make_pool,
    make_template,
    update_journey,
)

SEND = Send("hello", "email.smtp", "marketing")
DAY = timedelta(days=1)


def event(
    contact: str,
    kind: str = "order.placed",
    payload: Message | None = None,
    *,
    at: datetime = NOW,
    **fields: Any,
) -> Event:
    made = Event(
        id=str(new_id()), type=kind, source="sales", subject=f"orders/{new_id()}", contact=contact, **fields
    )
    made.data.Pack(payload or sales_events.OrderPlaced())
    made.occur_time.FromDatetime(at)
    made.record_time.FromDatetime(at)
    return made


def feed(runtime: Runtime, *events: Event, consumer: str = "campaign.test") -> int:
    return journeys.start_journeys(runtime, EventBatch(consumer, events))


def state(runtime: Runtime, key: str = "thanks") -> tuple[int, int, Counts]:
    found, counts = journeys.get_journey(runtime, key)
    return found.started_count, found.finished_count, counts


def test_an_order_starts_a_journey_that_waits_and_sends(
    runtime: Runtime, world: World, sender: Sender, smtp: SmtpServer
) -> None:
    [name] = world.add()
    make_pool(runtime)
    make_template(
        runtime,
        text="{{ event.total.amount }} {{ event.total.currency_code }} {{ event.category }} "
        "{% if coupon %}{{ coupon }}{% endif %}",
    )
    make_journey(
        runtime,
        [Wait(DAY), Send("hello", "email.smtp", "marketing", "gift"), Wait(DAY), SEND],
        reentry_after=timedelta(0),
    )
    total = Money(currency_code="VND", units=1250, nanos=500_000_000)
    feed(runtime, event(name, payload=sales_events.OrderPlaced(total=total, category="shoes")))
    journeys.advance_journeys(runtime)
    assert sender.run_once() == 0
    clock_of(runtime).instant += DAY
    journeys.advance_journeys(runtime)
    assert sender.run_once() == 1
    assert state(runtime)[:2] == (1, 0)
    # Both the second wait and the rest are long over when somebody looks again.
    clock_of(runtime).instant += 5 * DAY
    journeys.advance_journeys(runtime)
    sender.run_once()
    first, second = smtp.received()
    assert first.text.startswith("1250.5 VND shoes GIFT")
    assert second.text.strip() == "1250.5 VND shoes"
    started, finished, counts = state(runtime)
    assert (started, finished, counts.of("sent"), counts.duplicates) == (1, 1, 2, 0)


def test_steps_count_from_when_they_were_due(runtime: Runtime, world: World) -> None:
    [name] = world.add()
    make_template(runtime)
    make_journey(runtime, [Wait(DAY), Wait(DAY), SEND])
    feed(runtime, event(name))
    clock_of(runtime).instant += 1.5 * DAY
    journeys.advance_journeys(runtime)
    clock_of(runtime).instant += 0.5 * DAY
    journeys.advance_journeys(runtime)
    assert state(runtime)[1:] == (1, Counts({"planned": 1}))


def test_events_that_start_nothing(runtime: Runtime, world: World) -> None:
    [name] = world.add()
    make_template(runtime)
    make_journey(runtime, [SEND], reentry_after=timedelta(0))
    before = NOW - timedelta(seconds=1)
    given = [event(name, historical=True), event(""), event(name, "order.returned"), event(name, at=before)]
    assert feed(runtime, *given) == 0
    journeys.set_active(runtime, "thanks", active=False)
    assert feed(runtime, event(name)) == 0


def test_a_journey_for_a_segment_or_an_activity(runtime: Runtime, world: World) -> None:
    [name] = world.add()
    make_template(runtime, text="{{ event.page }}")
    world.members["segments/vip"] = []
    make_journey(runtime, [SEND], "vip", event_type="segment.entered", segment="segments/vip")
    make_journey(runtime, [SEND], "seen", event_type="page.visited")
    seen = contact_events.ActivityRecorded(
        type="page.visited", fields={"page": contacts_pb2.AttributeValue(string_value="/shoes")}
    )
    feed(
        runtime,
        event(name, "segment.entered", segment_events.MembershipChanged(segment="segments/other")),
        event(name, "activity.recorded", contact_events.ActivityRecorded(type="form.sent")),
    )
    assert (state(runtime, "vip")[0], state(runtime, "seen")[0]) == (0, 0)
    feed(
        runtime,
        event(name, "segment.entered", segment_events.MembershipChanged(segment="segments/vip")),
        event(name, "activity.recorded", seen),
    )
    assert (state(runtime, "vip")[0], state(runtime, "seen")[0]) == (1, 1)
    with runtime.db.read() as connection:
        kept = connection.scalars(
            sa.select(journey_entry.c.event).where(journey_entry.c.journey_id == "seen")
        ).one()
    assert (kept["type"], kept["page"]) == ("page.visited", "/shoes")


@pytest.mark.parametrize(
    ("reentry", "expected"), [(None, [1, 1, 1]), (timedelta(0), [2, 3, 4]), (30 * DAY, [1, 1, 2])]
)
def test_reentry(runtime: Runtime, world: World, reentry: timedelta | None, expected: Sequence[int]) -> None:
    [name] = world.add()
    make_template(runtime)
    make_journey(runtime, [Wait(DAY), SEND], reentry_after=reentry)
    seen = []
    feed(runtime, event(name), event(name))
    seen.append(state(runtime)[0])
    clock_of(runtime).instant += 29 * DAY
    feed(runtime, event(name, at=runtime.clock.now()))
    seen.append(state(runtime)[0])
    clock_of(runtime).instant += DAY
    feed(runtime, event(name, at=runtime.clock.now()))
    seen.append(state(runtime)[0])
    assert seen == list(expected)


@pytest.mark.parametrize(
    ("changed", "expected"),
    [
        ({"reentry_after": None}, [0, 0]),
        ({"reentry_after": 2 * DAY}, [0, 1]),
        ({"reentry_after": None, "after_leaving": True}, [0, 1]),
    ],
)
def test_reentry_that_becomes_stricter_counts_those_who_came_before(
    runtime: Runtime, world: World, changed: dict[str, Any], expected: Sequence[int]
) -> None:
    [name] = world.add()
    make_template(runtime)
    make_journey(runtime, [Wait(DAY), SEND], reentry_after=timedelta(0))
    feed(runtime, event(name))
    update_journey(runtime, **changed)
    seen = [feed(runtime, event(name))]
    clock_of(runtime).instant += 2 * DAY
    journeys.advance_journeys(runtime)
    seen.append(feed(runtime, event(name, at=runtime.clock.now())))
    assert seen == list(expected)


def test_the_same_event_again_starts_nothing(runtime: Runtime, world: World) -> None:
    [name] = world.add()
    make_template(runtime)
    make_journey(runtime, [SEND], reentry_after=timedelta(0))
    given = event(name)
    feed(runtime, given, given)
    feed(runtime, given)
    # Even a consumer that was renamed, and sees all events again, starts it once.
    feed(runtime, given, consumer="campaign.renamed")
    assert state(runtime)[0] == 1


@pytest.mark.parametrize("after_leaving", [False, True])
def test_many_at_once_start_a_journey_once(runtime: Runtime, world: World, after_leaving: bool) -> None:
    people = world.add(40)
    make_template(runtime)
    make_journey(runtime, [Wait(DAY), SEND], after_leaving=after_leaving)
    barrier = threading.Barrier(4)
    started: list[int] = []

    def one(index: int) -> None:
        barrier.wait()
        started.append(feed(runtime, *(event(name) for name in people), consumer=f"campaign.{index}"))

    threads = [threading.Thread(target=one, args=(index,)) for index in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sum(started) == state(runtime)[0] == 40


def test_workers_at_once_take_each_step_once(runtime: Runtime, world: World) -> None:
    people = world.add(1200)
    make_template(runtime)
    make_journey(runtime, [SEND, Wait(DAY), SEND], reentry_after=timedelta(0))
    feed(runtime, *(event(name) for name in people))
    for expected in (1200, 2400):
        threads = [threading.Thread(target=journeys.advance_journeys, args=(runtime,)) for _ in range(3)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert state(runtime)[2].audience == expected
        clock_of(runtime).instant += DAY
    assert state(runtime)[1] == 1200


def test_a_batch_that_fails_at_its_end_has_no_effect(
    runtime: Runtime, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    [name] = world.add()
    make_template(runtime)
    make_journey(runtime, [SEND])
    batch = EventBatch("campaign.test", [event(name)])

    def failing(runtime: Runtime, connection: sa.Connection, triggers: Any) -> None:
        # Up to here the entry is there.
        assert connection.scalar(sa.select(sa.func.count()).select_from(journey_entry)) == 1
        raise Unavailable("no database")

    with monkeypatch.context() as patch:
        patch.setattr(evergreen, "add_members", failing)
        with pytest.raises(Unavailable):
            journeys.start_journeys(runtime, batch)
    assert state(runtime)[0] == 0
    assert journeys.start_journeys(runtime, batch) == 1


def test_who_is_on_a_journey_keeps_nobody_else_from_starting_it_again(runtime: Runtime, world: World) -> None:
    first, second = world.add(2)
    make_template(runtime)
    make_journey(runtime, [Wait(DAY), SEND], after_leaving=True)
    feed(runtime, event(first))
    clock_of(runtime).instant += DAY
    journeys.advance_journeys(runtime)
    feed(runtime, event(second, at=runtime.clock.now()))
    assert feed(runtime, event(second, at=runtime.clock.now())) == 0
    assert feed(runtime, event(first, at=runtime.clock.now())) == 1


def test_a_journey_whose_channel_is_gone_is_not_activated(
    runtime: Runtime, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_template(runtime)
    make_journey(runtime, [SEND])
    journeys.set_active(runtime, "thanks", active=False)
    monkeypatch.setattr(journey_checks, "known_channels", lambda runtime: {})
    with pytest.raises(InvalidArgument, match=r"no plugin offers 'email\.smtp'"):
        journeys.set_active(runtime, "thanks", active=True)
    assert not journeys.get_journey(runtime, "thanks")[0].active
