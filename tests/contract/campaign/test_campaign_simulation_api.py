"""Simulations over a real port, and `rapport campaigns simulate`; who may call what."""

from __future__ import annotations

import json
import threading
from datetime import timedelta
from typing import Any
from uuid import uuid4

import pytest
from rapport.campaign.v1 import simulation_pb2 as pb
from rapport.sales.v1 import events_pb2 as sales_events
from rapport_client import errors
from rapport_client.client import service_descriptors

from services.campaign import channels
from services.campaign.models import kit
from services.campaign.simulation_codec import encode_simulation
from services.campaign.usecases import simulating
from services.kit import outbox
from services.kit.errors import Cancelled
from services.kit.events import store as events
from services.kit.names import parse_name
from services.kit.operations import OperationContext
from services.kit.operations import store as operations
from services.kit.outbox import NewEvent
from services.kit.plugins import PluginHost
from services.kit.runtime import Clients
from tests.support import waiting
from tests.support.campaign_desk import Desk, draft
from tests.support.campaign_fakes import DENIED, Directory
from tests.support.cli import run_cli
from tests.support.stack import NOW, Served

HOUR, DAY = timedelta(hours=1), timedelta(days=1)
Decision = pb.SimulatedMessage
JOURNEY = {
    "trigger": {"event_type": "order.placed"},
    "steps": [
        {
            "id": "hello",
            "send": {"template": "templates/hello", "channel": "email.smtp", "topic": "marketing"},
        },
        {"id": "pause", "wait": {"duration": DAY}},
        {
            "id": "again",
            "send": {"template": "templates/hello", "channel": "email.smtp", "topic": "marketing"},
        },
    ],
}


def work(desk: Desk, name: str) -> Any:
    """Do a simulation as a worker does, and return it as the operation's result has it."""
    runtime = desk.served.runtime
    key = parse_name(name, "operations")
    with runtime.db.transaction() as connection:
        claimed = operations.claim(connection, kit, key)
    assert claimed is not None
    op = OperationContext(runtime.db, kit, claimed)
    campaign = claimed.kind == simulating.SIMULATE_CAMPAIGN
    found = (simulating.simulate_campaign if campaign else simulating.simulate_journey)(runtime, op)
    result_type = pb.SimulateCampaignResult if campaign else pb.SimulateJourneyResult
    result = result_type(simulation=encode_simulation(found))
    with runtime.db.transaction() as connection:
        assert operations.finish(connection, kit, key, claimed.attempt, result, runtime.clock.now())
    return result.simulation


@pytest.fixture
def streams(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> Desk:
    """Let the events of sales be those that campaign's own stream tells."""
    monkeypatch.setattr(Clients, "events", lambda self, source: desk.served.events)
    with desk.served.runtime.db.transaction() as connection:
        events.ensure_stream(connection, kit)
    happen(desk, "test.ready", None, -24 * 30)
    waiting.until(lambda: tells(desk), "the stream is ready")
    return desk


def tells(desk: Desk) -> bool:
    """Say whether the stream has noticed that all was forgotten, and tells what is new."""
    start = {"timeline": desk.served.events.get_stream().head.timeline}
    try:
        with desk.served.events.subscribe(start=start, _timeout=10) as batches:
            return bool(next(iter(batches)).events)
    except errors.FailedPrecondition:
        return False


def happen(desk: Desk, kind: str, contact: str | None, hours: float) -> None:
    event = NewEvent(
        type=kind,
        subject=f"orders/{uuid4()}",
        contact=parse_name(contact, "contacts") if contact else None,
        revision=1,
        occur_time=NOW + hours * HOUR,
        data=sales_events.OrderPlaced(),
    )
    with desk.served.runtime.db.transaction() as connection:
        outbox.append(connection, kit.outbox, [event], record_time=NOW + hours * HOUR)
    with desk.served.runtime.db.transaction() as connection:
        events.assign_positions(connection, kit, 100)


def order(desk: Desk, contact: str, hours: float) -> None:
    happen(desk, "order.placed", contact, hours)


def test_simulate_campaign(desk: Desk, directory: Directory, api: Any) -> None:
    people = [directory.add(time_zone="Europe/Berlin") for _ in range(5)]
    refused = directory.add(consent=DENIED)
    desk.template()
    name = desk.campaign()
    started = api.simulate_campaign(name=name, request_id="one")
    assert api.simulate_campaign(name=name, request_id="one") == started
    assert started.operation.kind == "simulate_campaign"
    found = work(desk, started.operation.name)
    assert (found.name, found.origin) == (started.simulation, name)
    summary = found.summary
    assert (summary.message_count, summary.send_count, summary.refuse_count) == (6, 5, 1)
    assert dict(summary.refused_by_reason) == {"CONSENT_DENIED": 1}
    assert [(hour.start_time.ToDatetime(), hour.send_count) for hour in summary.hours] == [
        (NOW.replace(tzinfo=None, minute=0, second=0, microsecond=0), 5)
    ]
    assert api.wait_operation(started.operation).simulation == found
    # One that is not stored, at another time.
    started = api.simulate_campaign(
        campaign=draft(topic="transactional"), start_time=NOW + DAY, recipient_local_time="2100-01-01T09:00"
    )
    found = work(desk, started.operation.name)
    assert (found.origin, found.summary.send_count) == ("", 6)
    assert found.summary.first_send_time.ToDatetime().year == 2100
    assert api.get_campaign(name=name).campaign.counts.audience == 0
    assert not desk.smtp.received()
    assert {*people, refused} == {
        item.contact for item in api.list_simulated_messages(simulation=found.name).messages
    }
    for arguments in (
        {},
        {"name": name, "recipient_local_time": "soon"},
        {"name": name, "end_time": NOW - DAY},
        {"campaign": draft(channel="pigeon")},
        {"campaign": draft(topic="No Topic")},
    ):
        with pytest.raises(errors.InvalidArgument):
            api.simulate_campaign(**arguments)
    for arguments in ({"name": "campaigns/none"}, {"campaign": draft(template="templates/none")}):
        with pytest.raises(errors.NotFound):
            api.simulate_campaign(**arguments)


def test_simulate_campaign_that_is_cancelled(desk: Desk, directory: Directory, api: Any) -> None:
    directory.add()
    desk.template()
    started = api.simulate_campaign(name=desk.campaign())
    api.cancel_operation(name=started.operation.name)
    with pytest.raises(Cancelled) as caught:
        work(desk, started.operation.name)
    assert caught.value.reason == "CANCELLED"


def test_simulate_journey(streams: Desk, directory: Directory, api: Any) -> None:
    desk = streams
    first, second = directory.add(), directory.add(consent=DENIED)
    order(desk, first, -30)
    order(desk, second, -3)
    order(desk, directory.add(), -24 * 8)
    desk.template()
    api.create_journey(journey_id="thanks", journey=JOURNEY)
    started = api.simulate_journey(name="journeys/thanks", request_id="one")
    assert api.simulate_journey(name="journeys/thanks", request_id="one") == started
    found = work(desk, started.operation.name)
    summary = found.summary
    assert (found.origin, summary.start_count, dict(summary.outcomes)) == (
        "journeys/thanks",
        2,
        {"finished": 2},
    )
    assert (summary.send_count, dict(summary.refused_by_reason)) == (2, {"CONSENT_DENIED": 2})
    assert [(step.step, step.entered_count) for step in summary.steps] == [
        ("hello", 2),
        ("pause", 2),
        ("again", 2),
    ]
    # Not stored, over another period.
    started = api.simulate_journey(journey=JOURNEY, start_time=NOW - 9 * DAY, end_time=NOW - 8 * DAY + HOUR)
    found = work(desk, started.operation.name)
    assert (found.origin, found.summary.start_count) == ("", 1)
    with pytest.raises(errors.NotFound):
        api.simulate_journey(name="journeys/none")
    for arguments in (
        {},
        {"name": "journeys/thanks", "end_time": NOW + DAY},
        {"journey": {**JOURNEY, "steps": []}},
    ):
        with pytest.raises(errors.InvalidArgument):
            api.simulate_journey(**arguments)


def test_a_journey_says_what_would_wait_for_its_channel(streams: Desk, api: Any) -> None:
    streams.template()
    runtime = streams.served.runtime
    channels.provide(runtime, PluginHost(("sms",), (), {}))
    try:
        send = {"template": "templates/hello", "channel": "sms.http", "topic": "marketing"}
        journey = {"trigger": {"event_type": "order.placed"}, "steps": [{"send": send}]}
        found = work(streams, api.simulate_journey(journey=journey).operation.name)
    finally:
        channels.release(runtime)
    [told] = [text for text in found.summary.assumptions if "CHANNEL_UNAVAILABLE" in text]
    assert told.startswith("CHANNEL_UNAVAILABLE: sms.http: open raised ValueError: set url")


def test_get_simulation(desk: Desk, directory: Directory, api: Any) -> None:
    directory.add()
    desk.template()
    started = api.simulate_campaign(name=desk.campaign(), end_time=NOW + HOUR)
    found = api.get_simulation(name=started.simulation).simulation
    assert (found.name, found.HasField("summary")) == (started.simulation, False)
    assert found.expire_time.ToDatetime() == NOW.replace(tzinfo=None) + 14 * DAY
    assert found.end_time.ToDatetime() == NOW.replace(tzinfo=None) + HOUR
    done = work(desk, started.operation.name)
    assert api.get_simulation(name=started.simulation).simulation == done
    with pytest.raises(errors.NotFound):
        api.get_simulation(name=f"simulations/{uuid4()}")
    with pytest.raises(errors.InvalidArgument):
        api.get_simulation(name="simulations/none")


def test_list_simulated_messages(desk: Desk, directory: Directory, api: Any) -> None:
    people = sorted(directory.add() for _ in range(5))
    refused = directory.add(consent=DENIED)
    desk.template()
    started = api.simulate_campaign(name=desk.campaign())
    with pytest.raises(errors.FailedPrecondition) as caught:
        api.list_simulated_messages(simulation=started.simulation)
    assert caught.value.reason == "SIMULATION_RUNNING"
    work(desk, started.operation.name)
    pages = [
        [item.contact for item in page.messages]
        for page in api.list_simulated_messages.pages(simulation=started.simulation, page_size=4)
    ]
    assert [len(page) for page in pages] == [4, 2]
    assert sorted(name for page in pages for name in page) == sorted([*people, refused])
    [item] = api.list_simulated_messages(simulation=started.simulation, contact=people[0]).messages
    assert (item.decision, item.template, item.channel, item.topic) == (
        Decision.DECISION_SEND,
        "templates/hello",
        "email.smtp",
        "marketing",
    )
    assert item.send_time.ToDatetime() == item.due_time.ToDatetime() == NOW.replace(tzinfo=None)
    [item] = api.list_simulated_messages(simulation=started.simulation, decision=2).messages
    assert (item.contact, item.reason, item.HasField("send_time")) == (refused, "CONSENT_DENIED", False)
    assert (
        len(api.list_simulated_messages(simulation=started.simulation, reason="CONSENT_DENIED").messages) == 1
    )
    assert not api.list_simulated_messages(simulation=started.simulation, reason="CONSENT").messages
    with pytest.raises(errors.NotFound):
        api.list_simulated_messages(simulation=f"simulations/{uuid4()}")


def test_list_simulated_entries(streams: Desk, directory: Directory, api: Any) -> None:
    desk = streams
    people = sorted(directory.add() for _ in range(3))
    for name in people:
        order(desk, name, -2)
    desk.template()
    api.create_journey(journey_id="thanks", journey=JOURNEY)
    started = api.simulate_journey(name="journeys/thanks")
    with pytest.raises(errors.FailedPrecondition):
        api.list_simulated_entries(simulation=started.simulation)
    work(desk, started.operation.name)
    entries = [
        entry
        for page in api.list_simulated_entries.pages(simulation=started.simulation, page_size=2)
        for entry in page.entries
    ]
    assert [entry.contact for entry in entries] == people
    entry = entries[0]
    assert (entry.journey, entry.event_type, entry.step, entry.step_count) == (
        "journeys/thanks",
        "order.placed",
        "end",
        3,
    )
    assert [(move.number, move.step, move.next) for move in entry.path] == [
        (0, "hello", "pause"),
        (1, "pause", "again"),
        (2, "again", "end"),
    ]
    assert entry.end_time.ToDatetime() == NOW.replace(tzinfo=None) + 22 * HOUR
    with pytest.raises(errors.NotFound):
        api.list_simulated_entries(simulation=f"simulations/{uuid4()}")


def rapport(desk: Desk, *arguments: str) -> Any:
    """Run a command while a worker does the simulation that it asks for."""
    environment = {
        "RAPPORT_ADDRESS": f"127.0.0.1:{desk.served.ports.api}",
        "RAPPORT_EVENTS_ADDRESS": f"127.0.0.1:{desk.served.ports.events}",
        "RAPPORT_TOKEN": desk.served.token,
    }
    ran: list[Any] = []
    thread = threading.Thread(
        target=lambda: ran.append(run_cli("campaigns", *arguments, environment=environment))
    )
    thread.start()
    while thread.is_alive():
        thread.join(0.05)
        with desk.served.runtime.db.read() as connection:
            kinds = (simulating.SIMULATE_CAMPAIGN, simulating.SIMULATE_JOURNEY)
            waiting = [key for _, key in connection.execute(operations.pending(kit, kinds, 1))]
        for key in waiting:
            work(desk, f"operations/{key}")
    return ran[0]


def test_the_command_draws_what_would_happen(streams: Desk, directory: Directory) -> None:
    desk = streams
    people = [directory.add(time_zone="Europe/Berlin") for _ in range(4)]
    directory.add(consent=DENIED)
    order(desk, people[0], -2)
    desk.template()
    desk.campaign()
    ran = rapport(desk, "simulate", "spring")
    assert (ran.code, ran.err) == (0, "")
    for part in (
        "campaigns/spring from",
        "would be sent",
        "80.0 %",
        "CONSENT_DENIED",
        "sent in each hour",
        "nothing was sent",
    ):
        assert part in ran.out
    answer = json.loads(rapport(desk, "simulate", "spring", "--json").out)
    assert answer["summary"]["refused_by_reason"] == {"CONSENT_DENIED": "1"}
    desk.api.create_journey(journey_id="thanks", journey=JOURNEY)
    ran = rapport(desk, "simulate", "journeys/thanks")
    assert (ran.code, ran.err) == (0, "")
    for part in ("1 would have started; 1 finished", "hello", "on → pause: 1"):
        assert part in ran.out
    missing = rapport(desk, "simulate", "none")
    assert (missing.code, missing.out) == (1, "")
    assert "campaigns/none does not exist" in missing.err


NONE = f"simulations/{uuid4()}"
CALLS: dict[str, tuple[str, dict[str, Any]]] = {
    "simulate_campaign": ("campaign.simulate", {"name": "campaigns/none"}),
    "simulate_journey": ("campaign.simulate", {"name": "journeys/none"}),
    "get_simulation": ("campaign.read", {"name": NONE}),
    "list_simulated_messages": ("campaign.read", {"simulation": NONE}),
    "list_simulated_entries": ("campaign.read", {"simulation": NONE}),
}


def test_every_rpc_of_simulations_is_listed_here() -> None:
    [service] = [item for item in service_descriptors("campaign") if item.name == "SimulationService"]
    assert len(service.methods) == len(CALLS)


@pytest.mark.parametrize("method", CALLS)
def test_each_rpc_of_simulations_asks_for_its_permission_and_no_more(served: Served, method: str) -> None:
    permission, arguments = CALLS[method]
    other = "campaign.read" if permission != "campaign.read" else "campaign.simulate"
    with pytest.raises(errors.PermissionDenied) as caught:
        getattr(served.client_with(other), method)(**arguments)
    assert caught.value.metadata["permission"] == permission
    with pytest.raises(errors.NotFound):
        getattr(served.client_with(permission), method)(**arguments)
