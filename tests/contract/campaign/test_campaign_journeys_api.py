"""Journeys over a real port: made, switched on and off, and refused with the step at fault."""

from __future__ import annotations

from datetime import timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest
from rapport.campaign.v1 import campaign_pb2 as pb
from rapport.events.v1 import events_pb2
from rapport.sales.v1 import events_pb2 as sales_events
from rapport_client import errors

from services.campaign.usecases import journeys
from services.kit.bus.batch import EventBatch
from services.kit.names import new_id
from services.kit.wire import from_duration, from_timestamp, to_timestamp
from tests.support.campaign_desk import Desk
from tests.support.stack import NOW

WAIT = {"wait": {"duration": timedelta(days=2)}}
SEND = {"send": {"template": "templates/hello", "channel": "email.smtp", "topic": "marketing"}}


def fields(caught: pytest.ExceptionInfo[errors.RapportError]) -> set[str]:
    return {violation.field for violation in caught.value.violations}


@pytest.fixture(autouse=True)
def template(desk: Desk) -> str:
    """The template that journeys name."""
    return desk.template()


def journey(*steps: dict[str, Any], **trigger: Any) -> dict[str, Any]:
    return {"trigger": {"event_type": "order.placed", **trigger}, "steps": list(steps or (WAIT, SEND))}


def create(api: Any, key: str = "thanks", *steps: dict[str, Any], **trigger: Any) -> Any:
    return api.create_journey(journey_id=key, journey=journey(*steps, **trigger)).journey


def order_placed(contact: str) -> events_pb2.Event:
    """Build order.placed of a contact."""
    item = events_pb2.Event(
        id=str(new_id()),
        type="order.placed",
        source="sales",
        position=1,
        subject=f"orders/{uuid4()}",
        contact=contact,
        revision=1,
    )
    item.occur_time.CopyFrom(to_timestamp(NOW))
    item.record_time.CopyFrom(to_timestamp(NOW))
    item.data.Pack(sales_events.OrderPlaced(line_count=1))
    return item


def place_order(desk: Desk, contact: str) -> None:
    """Bring the event of an order, as the worker does."""
    batch = EventBatch("campaign.test", [order_placed(contact)])
    journeys.start_journeys(desk.served.runtime, batch)
    journeys.advance_journeys(desk.served.runtime)


def test_create_journey(desk: Desk, api: Any) -> None:
    desk.pool()
    with_coupon = {"send": {**SEND["send"], "coupon_pool": "couponPools/gift"}}
    made = api.create_journey(
        journey_id="thanks",
        journey={
            **journey(WAIT, with_coupon, WAIT, SEND, reentry_after=timedelta(days=30)),
            "display_name": "Thanks",
            "active": True,
            "started_count": 7,
        },
    ).journey
    assert (made.name, made.display_name, made.active) == ("journeys/thanks", "Thanks", False)
    assert (made.started_count, made.finished_count, made.counts) == (0, 0, pb.MessageCounts())
    assert made.trigger.event_type == "order.placed"
    assert from_duration(made.trigger.reentry_after) == timedelta(days=30)
    assert [step.WhichOneof("action") for step in made.steps] == ["wait", "send", "wait", "send"]
    assert from_duration(made.steps[0].wait.duration) == timedelta(days=2)
    assert made.steps[1].send == pb.SendStep(**with_coupon["send"])
    assert made.steps[3].send == pb.SendStep(**SEND["send"])
    assert from_timestamp(made.create_time) == NOW
    assert api.get_journey(name="journeys/thanks").journey == made


def test_create_journey_tells_never_again_from_at_once(api: Any) -> None:
    assert not create(api, "never").trigger.HasField("reentry_after")
    always = create(api, "always", reentry_after=timedelta(0)).trigger
    assert always.HasField("reentry_after")
    assert from_duration(always.reentry_after) == timedelta(0)


@pytest.mark.parametrize("event", ["segment.entered", "segment.left"])
def test_create_journey_by_membership_names_the_segment(api: Any, event: str) -> None:
    made = create(api, "welcome", SEND, event_type=event, segment="segments/loyal")
    assert made.trigger.segment == "segments/loyal"
    with pytest.raises(errors.InvalidArgument) as caught:
        create(api, "other", SEND, event_type=event)
    assert fields(caught) == {"journey.trigger.segment"}


@pytest.mark.parametrize("event", ["order.placed", "contact.created", "form.sent"])
def test_create_journey_by_any_type_of_event(api: Any, event: str) -> None:
    assert create(api, "any", SEND, event_type=event).trigger.event_type == event


@pytest.mark.parametrize(
    ("steps", "field"),
    [
        ([SEND, {"wait": {"duration": timedelta(0)}}], "journey.steps[1].wait.duration"),
        ([{"wait": {"duration": timedelta(seconds=-1)}}, SEND], "journey.steps[0].wait.duration"),
        ([SEND, {}], "journey.steps[1]"),
        ([SEND, {"send": {**SEND["send"], "channel": "email.pigeon"}}], "journey.steps[1].send.channel"),
        ([SEND, WAIT, {"send": {**SEND["send"], "topic": "Big Sale"}}], "journey.steps[2].send.topic"),
        ([WAIT], "journey.steps"),
    ],
)
def test_create_journey_refuses_bad_steps_and_names_them(
    api: Any, steps: list[dict[str, Any]], field: str
) -> None:
    with pytest.raises(errors.InvalidArgument) as caught:
        create(api, "bad", *steps)
    assert caught.value.reason == "INVALID_JOURNEY"
    assert fields(caught) == {field}
    assert not api.list_journeys().journeys


@pytest.mark.parametrize(
    ("trigger", "field"),
    [
        ({"event_type": "Order Placed"}, "journey.trigger.event_type"),
        ({"event_type": "order"}, "journey.trigger.event_type"),
        ({"reentry_after": timedelta(seconds=-1)}, "journey.trigger.reentry_after"),
        ({"event_type": "segment.entered", "segment": "loyal"}, "journey.trigger.segment"),
    ],
)
def test_create_journey_refuses_a_bad_trigger(api: Any, trigger: dict[str, Any], field: str) -> None:
    with pytest.raises(errors.InvalidArgument) as caught:
        create(api, "bad", **trigger)
    assert fields(caught) == {field}


@pytest.mark.parametrize("name", ["templates/none", "couponPools/none"])
def test_create_journey_refuses_what_is_not_there(api: Any, name: str) -> None:
    change = {"template": name} if name.startswith("templates") else {"coupon_pool": name}
    with pytest.raises(errors.NotFound) as caught:
        create(api, "bad", SEND, {"send": {**SEND["send"], **change}})
    assert caught.value.metadata["resource"] == name


def test_create_journey_refuses_an_id_that_is_taken_or_malformed(api: Any) -> None:
    create(api, "thanks")
    with pytest.raises(errors.AlreadyExists) as caught:
        create(api, "thanks", SEND)
    assert "journeys/thanks" in str(caught.value)
    for key in ("Thanks", "1a", "a b", "a" * 64):
        with pytest.raises(errors.InvalidArgument) as bad:
            create(api, key)
        assert fields(bad) == {"journey_id"}
    with pytest.raises(errors.InvalidArgument) as bad:
        create(api, "long", *[SEND] * 51)
    assert fields(bad) == {"journey.steps"}


def test_create_journey_with_a_request_id_happens_once(api: Any) -> None:
    request = {"journey_id": "once", "journey": journey(), "request_id": uuid4().hex}
    assert api.create_journey(**request) == api.create_journey(**request)
    with pytest.raises(errors.InvalidArgument) as caught:
        api.create_journey(**{**request, "journey": journey(SEND)})
    assert caught.value.reason == "REQUEST_ID_REUSED"


def test_get_journey(desk: Desk, api: Any) -> None:
    with pytest.raises(errors.NotFound) as caught:
        api.get_journey(name="journeys/thanks")
    assert caught.value.metadata["resource"] == "journeys/thanks"
    create(api)
    api.activate_journey(name="journeys/thanks")
    people = [desk.directory.add() for _ in range(3)]
    for person in people:
        place_order(desk, person)
    begun = api.get_journey(name="journeys/thanks").journey
    assert (begun.started_count, begun.finished_count, begun.counts.audience) == (3, 0, 0)
    desk.served.clock.instant = NOW + timedelta(days=2)
    journeys.advance_journeys(desk.served.runtime)
    desk.send()
    ended = api.get_journey(name="journeys/thanks").journey
    assert (ended.started_count, ended.finished_count) == (3, 3)
    assert (ended.counts.audience, ended.counts.sent, ended.counts.duplicates) == (3, 3, 0)
    sent = api.list_messages(origin="journeys/thanks").messages
    assert {item.contact for item in sent} == set(people)


def test_list_journeys(api: Any) -> None:
    for key in ("b", "a", "a-1"):
        create(api, key)
    listed = list(api.list_journeys.iterate(page_size=2))
    assert [item.name for item in listed] == ["journeys/a", "journeys/a-1", "journeys/b"]
    assert listed[0] == api.get_journey(name="journeys/a").journey
    token = api.list_journeys(page_size=1).next_page_token
    with pytest.raises(errors.InvalidArgument) as caught:
        api.list_coupon_pools(page_token=token)
    assert caught.value.reason == "PAGE_TOKEN_MISMATCH"


def test_activate_journey(desk: Desk, api: Any) -> None:
    create(api, "thanks", SEND)
    place_order(desk, desk.directory.add())
    for _ in range(2):
        active = api.activate_journey(name="journeys/thanks").journey
        assert (active.name, active.active, active.started_count) == ("journeys/thanks", True, 0)
    person = desk.directory.add()
    place_order(desk, person)
    assert api.get_journey(name="journeys/thanks").journey.started_count == 1
    with pytest.raises(errors.NotFound) as caught:
        api.activate_journey(name="journeys/none")
    assert caught.value.metadata["resource"] == "journeys/none"


def test_deactivate_journey_lets_those_in_it_finish(desk: Desk, api: Any) -> None:
    create(api)
    api.activate_journey(name="journeys/thanks")
    place_order(desk, desk.directory.add())
    for _ in range(2):
        ended = api.deactivate_journey(name="journeys/thanks").journey
        assert (ended.active, ended.started_count, ended.finished_count) == (False, 1, 0)
    place_order(desk, desk.directory.add())
    desk.served.clock.instant = NOW + timedelta(days=2)
    journeys.advance_journeys(desk.served.runtime)
    desk.send()
    after = api.get_journey(name="journeys/thanks").journey
    assert (after.started_count, after.finished_count, after.counts.sent) == (1, 1, 1)
    with pytest.raises(errors.NotFound):
        api.deactivate_journey(name="journeys/none")


def test_journey_gives_templates_the_event(desk: Desk, api: Any) -> None:
    desk.template("event", subject="{{ event.type }} {{ event.line_count }}", text="x")
    create(api, "thanks", {"send": {**SEND["send"], "template": "templates/event"}})
    api.activate_journey(name="journeys/thanks")
    place_order(desk, desk.directory.add())
    desk.send()
    [message] = api.list_messages(origin="journeys/thanks").messages
    assert message.subject == "order.placed 1"
    assert UUID(message.name.removeprefix("messages/"))
