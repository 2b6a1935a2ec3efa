"""Journeys paused, resumed, cancelled, and contacts taken out of them, over a real port."""

from __future__ import annotations

from typing import Any
from uuid import uuid4

import pytest
from rapport.campaign.v1 import campaign_pb2 as pb
from rapport.campaign.v1 import journeys_pb2
from rapport_client import errors

from services.campaign.usecases import journeys
from services.kit.wire import from_timestamp
from tests.contract.campaign.test_campaign_journeys_api import SEND, WAIT, create, place_order
from tests.support.campaign_desk import Desk
from tests.support.stack import NOW

NAME = "journeys/thanks"
State = pb.Journey


@pytest.fixture
def person(desk: Desk, api: Any) -> str:
    """Somebody on an active journey, with a message that is planned."""
    desk.template()
    create(api, "thanks", SEND, WAIT, SEND)
    api.activate_journey(name=NAME)
    contact = desk.directory.add()
    place_order(desk, contact)
    return contact


def test_pause_journey(desk: Desk, api: Any, person: str) -> None:
    assert api.get_journey(name=NAME).journey.state == State.STATE_RUNNING
    paused = api.pause_journey(name=NAME).journey
    assert (paused.state, from_timestamp(paused.pause_time), paused.active) == (State.STATE_PAUSED, NOW, True)
    assert api.pause_journey(name=NAME).journey == paused
    assert desk.send() == 0
    place_order(desk, desk.directory.add())
    journeys.advance_journeys(desk.served.runtime)
    found = api.get_journey(name=NAME).journey
    assert (found.started_count, found.counts.planned) == (2, 1)
    with pytest.raises(errors.NotFound):
        api.pause_journey(name="journeys/none")


def test_resume_journey(desk: Desk, api: Any, person: str) -> None:
    api.pause_journey(name=NAME)
    running = api.resume_journey(name=NAME).journey
    assert (running.state, running.HasField("pause_time")) == (State.STATE_RUNNING, False)
    assert api.resume_journey(name=NAME).journey == running
    assert desk.send() == 1
    with pytest.raises(errors.NotFound):
        api.resume_journey(name="journeys/none")


def test_cancel_journey(desk: Desk, api: Any, person: str) -> None:
    ended = api.cancel_journey(name=NAME, reason="wrong price").journey
    assert (ended.state, ended.active, ended.cancel_reason) == (State.STATE_CANCELLED, False, "wrong price")
    assert (ended.cancelled_count, ended.finished_count, ended.started_count) == (1, 0, 1)
    [entry] = api.list_journey_entries(journey=NAME).entries
    assert entry.outcome == journeys_pb2.JourneyEntry.OUTCOME_CANCELLED
    assert (entry.end_reason, from_timestamp(entry.end_time)) == ("wrong price", NOW)
    [message] = api.list_messages(origin=NAME).messages
    assert message.state == pb.Message.STATE_CANCELLED
    assert api.cancel_journey(name=NAME).journey == ended
    for call in (api.pause_journey, api.resume_journey, api.activate_journey):
        with pytest.raises(errors.FailedPrecondition) as caught:
            call(name=NAME)
        assert caught.value.reason == "JOURNEY_STATE"
    with pytest.raises(errors.FailedPrecondition):
        api.update_journey(journey={**{"name": NAME}, "trigger": {"event_type": "a.b"}, "steps": [SEND]})
    with pytest.raises(errors.NotFound):
        api.cancel_journey(name="journeys/none")


def test_remove_journey_contacts(desk: Desk, api: Any, person: str) -> None:
    stranger = f"contacts/{uuid4()}"
    done = api.remove_journey_contacts(name=NAME, contacts=[person, stranger], reason="asked to")
    assert (done.removed_count, done.cancelled_message_count) == (1, 1)
    [entry] = api.list_journey_entries(contact=person).entries
    assert (entry.outcome, entry.end_reason) == (journeys_pb2.JourneyEntry.OUTCOME_REMOVED, "asked to")
    assert api.get_journey(name=NAME).journey.removed_count == 1
    assert desk.send() == 0
    with pytest.raises(errors.InvalidArgument):
        api.remove_journey_contacts(name=NAME, contacts=[])
    with pytest.raises(errors.NotFound):
        api.remove_journey_contacts(name="journeys/none", contacts=[person])
