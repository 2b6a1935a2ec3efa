"""Journeys as graphs over a real port: checked, changed, migrated, and each entry explained."""

from __future__ import annotations

from datetime import timedelta
from typing import Any
from uuid import uuid4

import pytest
from rapport.campaign.v1 import campaign_pb2 as pb
from rapport.campaign.v1 import journeys_pb2
from rapport_client import errors

from services.campaign.usecases import journeys
from services.kit.wire import from_timestamp
from tests.contract.campaign.test_campaign_journeys_api import place_order
from tests.support.campaign_desk import Desk
from tests.support.stack import NOW

SEND = {"send": {"template": "templates/hello", "channel": "email.smtp", "topic": "marketing"}}
WAIT = {"id": "pause", "wait": {"duration": timedelta(days=2)}}
TRIGGER = {"event_type": "order.placed"}
VIP = 'in_segment("segments/vip")'
EVERY: list[dict[str, Any]] = [
    {"id": "a", "wait_until": {"local_time": "09:30", "weekdays": [1, 5], "time_zone": "Asia/Tokyo"}},
    {
        "id": "b",
        "wait_event": {
            "event": {"event_type": "payment.received", "condition": 'event.method == "card"'},
            "timeout": timedelta(hours=3),
            "timeout_next": "d",
        },
    },
    {"id": "c", "branch": {"cases": [{"rule": VIP, "next": "d"}]}, "next": "e"},
    {"id": "d", "split": {"parts": [{"percent": 12.5, "next": "e"}], "planned_contacts": 9}},
    {"id": "e", "modify_tags": {"add_tags": ["new"], "remove_tags": ["old"]}},
    {"id": "f", **SEND, "next": "end"},
]


@pytest.fixture(autouse=True)
def template(desk: Desk) -> str:
    """The template that journeys name."""
    desk.directory.members["segments/vip"] = set()
    return desk.template()


def create(api: Any, *steps: dict[str, Any], key: str = "thanks", **values: Any) -> Any:
    journey = {"trigger": TRIGGER, "steps": list(steps), **values}
    return api.create_journey(journey_id=key, journey=journey).journey


def advance(desk: Desk, after: timedelta = timedelta(0)) -> None:
    desk.served.clock.instant = NOW + after
    journeys.advance_journeys(desk.served.runtime)


def test_all_kinds_of_steps_come_back_as_they_were_given(api: Any) -> None:
    attributes = [
        {"set_attribute": {"attribute": "x", field: value}}
        for field, value in (
            ("string_value", "a"),
            ("int_value", 3),
            ("double_value", 0.5),
            ("bool_value", False),
            ("timestamp_value", NOW),
        )
    ]
    case = {"open_case": {"subject": "Call", "text": "soon", "queue": "queues/q", "priority": "high"}}
    task = {
        "open_task": {"title": "Ring", "assignee": "agents/ana", "due_after": timedelta(0), "priority": "low"}
    }
    made = create(
        api,
        *EVERY[:-1],
        *attributes,
        case,
        task,
        {"open_task": {"title": "Ring"}},
        SEND,
        hold_out_percent=12.5,
        goals=[{"event_type": "order.returned"}],
        exits=[{"event_type": "segment.left", "segment": "segments/vip"}],
    )
    assert [step.id for step in made.steps[:5]] == list("abcde")
    assert [step.next for step in made.steps[:3]] == ["b", "c", "e"]
    assert made.steps[1].wait_event.timeout_next == "d"
    assert (made.steps[3].split.planned_contacts, made.hold_out_percent) == (9, 12.5)
    assert made.steps[0].wait_until == pb.WaitUntilStep(
        local_time="09:30", weekdays=[1, 5], time_zone="Asia/Tokyo"
    )
    sets = [step.set_attribute for step in made.steps[5:10]]
    assert [item.WhichOneof("value") for item in sets] == [
        f"{kind}_value" for kind in ("string", "int", "double", "bool", "timestamp")
    ]
    assert from_timestamp(sets[4].timestamp_value) == NOW
    assert made.steps[10].open_case.queue == "queues/q"
    assert (made.steps[11].open_task.assignee, made.steps[11].open_task.priority) == ("agents/ana", "low")
    assert [step.open_task.HasField("due_after") for step in made.steps[11:13]] == [True, False]
    assert (made.version, len(made.goals), made.exits[0].segment) == (1, 1, "segments/vip")
    assert api.get_journey(name="journeys/thanks").journey == made


def test_validate_journey(desk: Desk, api: Any) -> None:
    sound = {"trigger": TRIGGER, "steps": EVERY}
    assert not api.validate_journey(journey=sound).problems
    bad = {
        "trigger": {"event_type": "segment.entered", "segment": "segments/none"},
        "steps": [
            {"id": "a", "branch": {"cases": [{"rule": "nonsense", "next": "c"}]}, "next": "zz"},
            {"id": "b", "send": {**SEND["send"], "template": "templates/none", "channel": "x.y"}},
            {"id": "c", "webhook": {"url": "https://shop.test/hook"}},
        ],
    }
    found = api.validate_journey(journey=bad).problems
    assert {(item.field, item.step) for item in found} == {
        ("journey.steps[0]", "a"),
        ("journey.steps[1].send.channel", "b"),
        ("journey.steps[2].webhook.channel", "c"),
        ("journey.steps[1].send.template", "b"),
        ("journey.trigger.segment", ""),
        ("journey.steps[0].branch.cases[0].rule", "a"),
    }
    assert not api.list_journeys().journeys
    with pytest.raises(errors.InvalidArgument) as caught:
        api.validate_journey(journey={"trigger": TRIGGER, "steps": [{"wait_until": {"local_time": "25:00"}}]})
    assert caught.value.violations[0].field == "journey.steps[0].wait_until.local_time"


def test_update_journey(desk: Desk, api: Any) -> None:
    made = create(api, WAIT, SEND)
    api.activate_journey(name=made.name)
    made.steps[0].wait.duration.seconds = 60
    key = uuid4().hex
    changed = api.update_journey(journey=made, version=1, request_id=key).journey
    assert (changed.version, changed.active) == (2, True)
    assert api.update_journey(journey=made, version=1, request_id=key).journey == changed
    with pytest.raises(errors.Aborted) as stale:
        api.update_journey(journey=made, version=1)
    assert stale.value.reason == "VERSION_MISMATCH"
    assert api.update_journey(journey=made).journey.version == 2
    made.steps[1].next = "pause"
    with pytest.raises(errors.InvalidArgument) as caught:
        api.update_journey(journey=made)
    assert "dead end" in caught.value.violations[0].description
    made.name = "journeys/none"
    with pytest.raises(errors.NotFound):
        api.update_journey(journey=made)


def test_list_journey_versions(api: Any) -> None:
    made = create(api, WAIT, SEND)
    for seconds in (10, 20):
        made.steps[0].wait.duration.seconds = seconds
        api.update_journey(journey=made)
    listed = list(api.list_journey_versions.iterate(name=made.name, page_size=2))
    assert [(item.version, item.steps[0].wait.duration.seconds) for item in listed] == [
        (3, 20),
        (2, 10),
        (1, 172_800),
    ]
    with pytest.raises(errors.NotFound):
        api.list_journey_versions(name="journeys/none")


def test_migrate_journey(desk: Desk, api: Any) -> None:
    made = create(api, WAIT, SEND)
    api.activate_journey(name=made.name)
    place_order(desk, desk.directory.add())
    made.steps[0].id = made.steps[0].next = ""
    api.update_journey(journey=made)
    with pytest.raises(errors.FailedPrecondition) as caught:
        api.migrate_journey(name=made.name)
    assert caught.value.reason == "STEPS_UNMAPPED"
    with pytest.raises(errors.InvalidArgument) as wrong:
        api.migrate_journey(name=made.name, steps={"pause": "nowhere"})
    assert wrong.value.reason == "INVALID_MAPPING"
    done = api.migrate_journey(name=made.name, steps={"pause": "step1"}, from_version=1)
    assert (done.migrated_count, done.version) == (1, 2)


def test_list_journey_entries(desk: Desk, api: Any) -> None:
    made = create(api, WAIT, SEND)
    api.activate_journey(name=made.name)
    people = [desk.directory.add() for _ in range(3)]
    for person in people:
        place_order(desk, person)
    listed = list(api.list_journey_entries.iterate(journey=made.name, page_size=2))
    assert [item.contact for item in listed] == people[::-1]
    assert {(item.step, item.step_count, item.event_type) for item in listed} == {
        ("pause", 0, "order.placed")
    }
    [one] = api.list_journey_entries(contact=people[1], open=True, step="pause").entries
    assert one.contact == people[1]
    assert not api.list_journey_entries(journey=made.name, step="step2").entries
    with pytest.raises(errors.InvalidArgument):
        api.list_journey_entries()


def test_get_journey_entry_tells_each_step_and_why(desk: Desk, api: Any) -> None:
    person = desk.directory.add()
    desk.directory.members["segments/vip"] = {person}
    made = create(
        api,
        {"id": "ask", "branch": {"cases": [{"rule": VIP, "next": "mail"}]}, "next": "end"},
        {"id": "mail", **SEND},
        WAIT,
        {"id": "tag", "modify_tags": {"add_tags": ["new"]}},
    )
    api.activate_journey(name=made.name)
    place_order(desk, person)
    desk.send()
    advance(desk, timedelta(days=2))
    [listed] = api.list_journey_entries(journey=made.name).entries
    entry = api.get_journey_entry(name=listed.name).entry
    assert entry.outcome == journeys_pb2.JourneyEntry.OUTCOME_FINISHED
    assert [(move.number, move.step, move.edge, move.next, move.state) for move in entry.path] == [
        (0, "ask", "case:0", "mail", ""),
        (1, "mail", "", "pause", "sent"),
        (2, "pause", "", "tag", ""),
        (3, "tag", "", "end", "planned"),
    ]
    assert api.get_message(name=entry.path[1].message).message.contact == person
    assert from_timestamp(entry.path[2].leave_time) == NOW + timedelta(days=2)
    with pytest.raises(errors.NotFound):
        api.get_journey_entry(name=f"journeyEntries/{uuid4()}")


def test_get_journey_flow(desk: Desk, api: Any) -> None:
    made = create(api, WAIT, SEND)
    api.activate_journey(name=made.name)
    for _ in range(2):
        place_order(desk, desk.directory.add())
    before = api.get_journey_flow(name=made.name)
    assert [(step.step, step.entered_count, step.waiting_count) for step in before.steps] == [
        ("pause", 2, 2),
        ("step2", 0, 0),
    ]
    advance(desk, timedelta(days=2))
    after = api.get_journey_flow(name=made.name, version=1)
    assert after.version == 1
    assert [(step.entered_count, step.exits[0].count, step.exits[0].next) for step in after.steps] == [
        (2, 2, "step2"),
        (2, 2, "end"),
    ]
    for name, version in (("journeys/none", 0), (made.name, 9)):
        with pytest.raises(errors.NotFound):
            api.get_journey_flow(name=name, version=version)
