"""Many messages that may have been sent, decided on at once over a real port; each decision is kept."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
import sqlalchemy as sa
from rapport.campaign.v1 import campaign_pb2 as pb
from rapport_client import errors

from services.campaign.models import kit, recent_send
from services.campaign.usecases import journeys, resolving
from services.kit.wire import from_timestamp
from tests.contract.campaign.test_campaign_journeys_api import SEND, create, place_order
from tests.contract.campaign.test_campaign_messages_api import single
from tests.support.campaign_desk import Desk
from tests.support.stack import NOW

State, Resolution = pb.Message, pb.ResolveMessageRequest
SENT, FAILED, RETRY = "RESOLUTION_SENT", "RESOLUTION_FAILED", "RESOLUTION_RETRY"
HOUR = timedelta(hours=1)


@pytest.fixture
def doubted(desk: Desk) -> str:
    """A campaign to three people, whose server vanished before it confirmed."""
    desk.template()
    for _ in range(3):
        desk.directory.add()
    desk.smtp.behave("drop_after")
    name = desk.campaign()
    desk.launch(name)
    assert desk.send() == 3
    desk.smtp.behave("accept")
    assert states(desk.api, name) == {State.STATE_UNKNOWN: 3}
    return name


def states(api: Any, origin: str) -> dict[int, int]:
    found = [item.state for item in api.list_messages.iterate(origin=origin, page_size=1000)]
    return {state: found.count(state) for state in set(found)}


def events(desk: Desk, kind: str) -> list[Any]:
    with desk.served.runtime.db.read() as connection:
        return list(connection.execute(sa.select(kit.outbox).where(kit.outbox.c.type == kind)))


def test_resolve_messages_as_sent(desk: Desk, api: Any, doubted: str) -> None:
    desk.served.clock.instant = NOW + HOUR
    request = {"origin": doubted, "resolution": SENT, "comment": "the server has them"}
    counted = api.resolve_messages(**request, validate_only=True)
    assert (counted.resolved_count, counted.remaining_count) == (0, 3)
    done = api.resolve_messages(**request, request_id="once")
    assert (done.resolved_count, done.remaining_count) == (3, 0)
    assert api.resolve_messages(**request, request_id="once") == done
    assert api.resolve_messages(**request, request_id="twice").resolved_count == 0
    listed = api.list_messages(origin=doubted).messages
    # When they were handed over, not when somebody said that they were sent.
    assert {(item.state, from_timestamp(item.send_time)) for item in listed} == {(State.STATE_SENT, NOW)}
    assert [item.occur_time for item in events(desk, "message.sent")] == [NOW] * 3
    assert desk.send() == 0


def test_resolve_messages_as_failed(desk: Desk, api: Any) -> None:
    """They are sent no more, take no place under a cap, and are told as failed."""
    cap = {"count": 1, "period": timedelta(days=7)}
    api.set_send_policy(policy={"name": "sendPolicies/default", "caps": [cap]})
    desk.template()
    desk.directory.add()
    desk.smtp.behave("drop_after")
    name = desk.campaign()
    desk.launch(name)
    desk.send()
    desk.smtp.behave("accept")
    with desk.served.runtime.db.read() as connection:
        assert len(connection.execute(sa.select(recent_send)).all()) == 1
    assert api.resolve_messages(origin=name, resolution=FAILED).resolved_count == 1
    [message] = api.list_messages(origin=name).messages
    assert (message.state, message.reason) == (State.STATE_FAILED, "RESOLVED")
    with desk.served.runtime.db.read() as connection:
        assert connection.execute(sa.select(recent_send)).all() == []
    assert len(events(desk, "message.failed")) == 1
    assert desk.send() == 0


def test_resolve_messages_to_be_sent_again(desk: Desk, api: Any, doubted: str) -> None:
    before = {item.message_id for item in desk.smtp.received()}
    assert api.resolve_messages(origin=doubted, resolution=RETRY).resolved_count == 3
    assert states(api, doubted) == {State.STATE_PLANNED: 3}
    assert desk.send() == 3
    assert states(api, doubted) == {State.STATE_SENT: 3}
    # Whoever got one gets the same again.
    assert {item.message_id for item in desk.smtp.received()} == before


def test_resolve_messages_of_what_is_cancelled(desk: Desk, api: Any, doubted: str) -> None:
    api.cancel_campaign(name=doubted)
    for validate_only in (True, False):
        with pytest.raises(errors.FailedPrecondition) as caught:
            api.resolve_messages(origin=doubted, resolution=RETRY, validate_only=validate_only)
        assert caught.value.reason == "CAMPAIGN_STATE"
    assert api.resolve_messages(origin=doubted, resolution=SENT).resolved_count == 3


def test_resolve_messages_that_the_filter_names(desk: Desk, api: Any, doubted: str) -> None:
    request = {"origin": doubted, "resolution": SENT}
    assert api.resolve_messages(**request, channel="sms.http").resolved_count == 0
    assert api.resolve_messages(**request, planned_before=NOW).resolved_count == 0
    assert not api.list_messages(origin=doubted, planned_before=NOW).messages
    assert not api.list_messages(origin=doubted, channel="sms.http").messages
    which = {"channel": "email.smtp", "planned_before": NOW + HOUR}
    assert len(api.list_messages(origin=doubted, **which).messages) == 3
    assert api.resolve_messages(**request, **which).resolved_count == 3


def test_resolve_messages_some_thousand_at_a_time(
    desk: Desk, api: Any, doubted: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(resolving, "AT_ONCE", 2)
    oldest = sorted(item.name for item in api.list_messages(origin=doubted).messages)[:2]
    done = api.resolve_messages(origin=doubted, resolution=SENT)
    assert (done.resolved_count, done.remaining_count) == (2, 1)
    sent = api.list_messages(origin=doubted, state="STATE_SENT").messages
    assert sorted(item.name for item in sent) == oldest
    done = api.resolve_messages(origin=doubted, resolution=FAILED)
    assert (done.resolved_count, done.remaining_count) == (1, 0)


def test_resolve_messages_of_journeys_and_of_requests(desk: Desk, api: Any) -> None:
    desk.template()
    person = desk.directory.add()
    desk.smtp.behave("drop_after")
    create(api, "thanks", SEND)
    api.activate_journey(name="journeys/thanks")
    place_order(desk, person)
    journeys.advance_journeys(desk.served.runtime)
    first, second = (api.send_message(**single(person)).message for _ in range(2))
    assert desk.send() == 3
    assert {item.name for item in api.list_messages(origin="requests").messages} == {first.name, second.name}
    assert api.resolve_messages(origin="journeys/thanks", resolution=FAILED).resolved_count == 1
    assert api.resolve_messages(origin="requests", resolution=FAILED).resolved_count == 2
    assert {item.state for item in api.list_messages().messages} == {State.STATE_FAILED}
    api.cancel_journey(name="journeys/thanks")
    with pytest.raises(errors.FailedPrecondition) as caught:
        api.resolve_messages(origin="journeys/thanks", resolution=RETRY)
    assert caught.value.reason == "JOURNEY_STATE"


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"origin": "segments/all"}, "origin"),
        ({"origin": ""}, "origin"),
        ({"resolution": "RESOLUTION_UNSPECIFIED"}, "resolution"),
        ({"comment": "c" * 2001}, "comment"),
    ],
)
def test_resolve_messages_refuses_bad_requests(api: Any, change: dict[str, str], field: str) -> None:
    with pytest.raises(errors.InvalidArgument) as caught:
        api.resolve_messages(**{"origin": "requests", "resolution": SENT, **change})
    assert [item.field for item in caught.value.violations] == [field]
    with pytest.raises(errors.NotFound):
        api.resolve_messages(origin="campaigns/none", resolution=SENT)


def test_list_message_resolutions(desk: Desk, api: Any, doubted: str) -> None:
    """Who decided what, one by one and many at once; what decided nothing is not there."""
    one, *rest = api.list_messages(origin=doubted).messages
    for _ in range(2):
        api.resolve_message(name=one.name, resolution=FAILED, comment="it bounced")
    desk.served.clock.instant = NOW + HOUR
    launcher = desk.served.client_with("campaign.launch")
    for _ in range(2):
        launcher.resolve_messages(origin=doubted, resolution=SENT, planned_before=NOW + HOUR)
    many, single_one = api.list_message_resolutions.iterate(page_size=1)
    assert many.name.startswith("messageResolutions/")
    assert (many.origin, many.message, many.message_count) == (doubted, "", len(rest))
    assert (many.resolution, many.comment) == (Resolution.RESOLUTION_SENT, "")
    assert many.resolver.startswith("test-")
    assert from_timestamp(many.planned_before) == from_timestamp(many.resolve_time) == NOW + HOUR
    assert (single_one.origin, single_one.message, single_one.message_count) == (doubted, one.name, 1)
    assert (single_one.resolution, single_one.comment) == (Resolution.RESOLUTION_FAILED, "it bounced")
    assert (single_one.resolver, single_one.HasField("planned_before")) == ("owner", False)
    assert len(api.list_message_resolutions(origin=doubted).resolutions) == 2
    assert not api.list_message_resolutions(origin="campaigns/none").resolutions
