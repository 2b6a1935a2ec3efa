"""Campaigns over a real port: drafted, launched, paused, resumed, cancelled, and counted."""

from __future__ import annotations

from datetime import timedelta
from typing import Any
from uuid import uuid4

import pytest
from rapport.campaign.v1 import campaign_pb2 as pb
from rapport_client import errors
from rapport_client.retry import NO_RETRY

from services.campaign.usecases import campaigns
from services.kit.wire import from_timestamp
from tests.support.campaign_desk import Desk, draft
from tests.support.campaign_fakes import DENIED, EVERYBODY, UNDECIDED, Directory
from tests.support.stack import NOW

State = pb.Campaign


def fields(caught: pytest.ExceptionInfo[errors.RapportError]) -> set[str]:
    return {violation.field for violation in caught.value.violations}


@pytest.fixture(autouse=True)
def template(desk: Desk) -> str:
    """The template that campaigns name."""
    return desk.template()


def state(api: Any, name: str) -> pb.Campaign.State:
    found: pb.Campaign.State = api.get_campaign(name=name).campaign.state
    return found


def balanced(counts: pb.MessageCounts) -> bool:
    parts = (
        counts.planned,
        counts.in_flight,
        counts.sent,
        counts.suppressed,
        counts.failed,
        counts.unknown,
        counts.cancelled,
    )
    return counts.audience == sum(parts) and counts.suppressed == sum(counts.suppressed_by_reason.values())


def test_create_campaign(desk: Desk, api: Any) -> None:
    desk.pool()
    given = draft(display_name="Spring", coupon_pool="couponPools/gift")
    made = api.create_campaign(campaign_id="spring", campaign=given).campaign
    assert (made.name, made.display_name, made.segment) == ("campaigns/spring", "Spring", EVERYBODY)
    assert (made.template, made.channel, made.topic) == ("templates/hello", "email.smtp", "marketing")
    assert made.coupon_pool == "couponPools/gift"
    assert made.state == State.STATE_DRAFT
    assert made.counts == pb.MessageCounts()
    assert from_timestamp(made.create_time) == NOW
    assert not made.HasField("launch_time")
    assert api.get_campaign(name="campaigns/spring").campaign == made


def test_create_campaign_ignores_what_is_output_only(api: Any) -> None:
    given = draft(state="STATE_DONE", counts={"sent": 9}, launch_time=NOW)
    made = api.create_campaign(campaign_id="spring", campaign=given).campaign
    assert (made.state, made.counts.sent, made.HasField("launch_time")) == (State.STATE_DRAFT, 0, False)


@pytest.mark.parametrize(
    ("change", "error", "expected"),
    [
        ({"template": "templates/none"}, errors.NotFound, "templates/none"),
        ({"coupon_pool": "couponPools/none"}, errors.NotFound, "couponPools/none"),
        ({"channel": "email.pigeon"}, errors.InvalidArgument, "campaign.channel"),
        ({"channel": "email"}, errors.InvalidArgument, "campaign.channel"),
        ({"template": "hello"}, errors.InvalidArgument, "campaign.template"),
        ({"coupon_pool": "gift"}, errors.InvalidArgument, "campaign.coupon_pool"),
        ({"segment": "campaigns/x"}, errors.InvalidArgument, "campaign.segment"),
        ({"segment": "segments/"}, errors.InvalidArgument, "campaign.segment"),
        ({"topic": "Spring Sale"}, errors.InvalidArgument, "campaign.topic"),
        ({"topic": "news\r\nBcc: x"}, errors.InvalidArgument, "campaign.topic"),
        ({"topic": "t" * 17}, errors.InvalidArgument, "campaign.topic"),
        ({"display_name": "d" * 201}, errors.InvalidArgument, "campaign.display_name"),
    ],
)
def test_create_campaign_refuses_what_is_not_there(
    api: Any, change: dict[str, str], error: type[errors.RapportError], expected: str
) -> None:
    with pytest.raises(error) as caught:
        api.create_campaign(campaign_id="spring", campaign=draft(**change))
    if error is errors.NotFound:
        assert caught.value.metadata["resource"] == expected
    else:
        assert fields(caught) == {expected}
    if "channel" in change:
        assert caught.value.reason == "UNKNOWN_CHANNEL"
        assert "email.smtp" in str(caught.value)
    assert not api.list_campaigns().campaigns


@pytest.mark.parametrize("topic", ["a", "marketing", "back_in_stock", "sale2026", "t" * 16])
def test_create_campaign_on_any_topic(api: Any, topic: str) -> None:
    made = api.create_campaign(campaign_id="spring", campaign=draft(topic=topic)).campaign
    assert made.topic == topic


def test_create_campaign_refuses_an_id_that_is_taken_or_malformed(desk: Desk, api: Any) -> None:
    desk.campaign("spring")
    with pytest.raises(errors.AlreadyExists) as caught:
        desk.campaign("spring", topic="news")
    assert "campaigns/spring" in str(caught.value)
    for key in ("Spring", "1a", "a b", "a/b", "a" * 64):
        with pytest.raises(errors.InvalidArgument) as bad:
            desk.campaign(key)
        assert fields(bad) == {"campaign_id"}


def test_create_campaign_with_a_request_id_happens_once(api: Any) -> None:
    request = {"campaign_id": "once", "campaign": draft(), "request_id": uuid4().hex}
    assert api.create_campaign(**request) == api.create_campaign(**request)
    with pytest.raises(errors.InvalidArgument) as caught:
        api.create_campaign(**{**request, "campaign": draft(topic="news")})
    assert caught.value.reason == "REQUEST_ID_REUSED"


def test_get_campaign_counts_what_became_of_each_member(desk: Desk, api: Any, directory: Directory) -> None:
    desk.template("broken", text="{{ 1 // 0 }}")
    kept = [directory.add() for _ in range(3)]
    shared = directory.addresses[kept[0], "email"]
    directory.add(address=shared)
    directory.add(consent=UNDECIDED)
    directory.add(consent=DENIED)
    directory.add(address="")
    directory.forget(directory.add())
    directory.add(address="Gone@mail.test")
    api.add_suppressions(suppressions=[{"kind": "email", "address": "gone@MAIL.test"}])
    directory.add(address="full@mail.test")
    desk.smtp.behave("permanent", to="full@mail.test")
    name = desk.campaign()
    desk.launch(name)
    before = api.get_campaign(name=name).campaign.counts
    assert (before.audience, before.planned) == (10, 10)
    desk.send()
    counts = api.get_campaign(name=name).campaign.counts
    assert (counts.audience, counts.sent, counts.suppressed, counts.failed) == (10, 4, 5, 1)
    assert dict(counts.suppressed_by_reason) == {
        "NO_CONSENT": 1,
        "CONSENT_DENIED": 1,
        "NO_ADDRESS": 1,
        "CONTACT_GONE": 1,
        "SUPPRESSED": 1,
    }
    assert counts.duplicates == 1
    assert balanced(counts)
    name = desk.campaign("broken", template="templates/broken")
    desk.launch(name)
    desk.send()
    counts = api.get_campaign(name=name).campaign.counts
    # The address that the server refused is suppressed by now.
    assert (counts.audience, counts.sent, counts.suppressed, counts.failed) == (10, 0, 6, 4)
    assert counts.suppressed_by_reason["SUPPRESSED"] == 2
    assert balanced(counts)


def test_get_campaign_that_is_not_there(api: Any) -> None:
    with pytest.raises(errors.NotFound) as caught:
        api.get_campaign(name="campaigns/none")
    assert caught.value.metadata["resource"] == "campaigns/none"


def test_list_campaigns(desk: Desk, api: Any, directory: Directory) -> None:
    directory.add()
    for key in ("b", "a", "a-1", "a_1"):
        desk.campaign(key)
    desk.launch("campaigns/a_1")
    desk.send()
    listed = list(api.list_campaigns.iterate(page_size=2))
    assert [item.name for item in listed] == [f"campaigns/{key}" for key in ("a", "a-1", "a_1", "b")]
    assert [item.counts.sent for item in listed] == [0, 0, 1, 0]
    assert listed[2] == api.get_campaign(name="campaigns/a_1").campaign
    directory.members["segments/few"] = set()
    desk.campaign("few", segment="segments/few")
    assert [item.name for item in api.list_campaigns(segment="segments/few").campaigns] == ["campaigns/few"]
    assert len(api.list_campaigns(segment=EVERYBODY).campaigns) == 4
    with pytest.raises(errors.InvalidArgument) as caught:
        api.list_campaigns(segment="few")
    assert fields(caught) == {"segment"}
    token = api.list_campaigns(page_size=1).next_page_token
    with pytest.raises(errors.InvalidArgument) as caught:
        api.list_journeys(page_token=token)
    assert caught.value.reason == "PAGE_TOKEN_MISMATCH"


def test_launch_campaign(desk: Desk, api: Any, directory: Directory) -> None:
    people = {directory.add() for _ in range(7)}
    directory.page = 3
    name = desk.campaign()
    desk.served.clock.instant = NOW + timedelta(hours=1)
    operation = api.launch_campaign(name=name).operation
    assert (operation.kind, operation.done) == ("launch_campaign", False)
    assert state(api, name) == State.STATE_PLANNING
    desk.plan(operation)
    planned = api.get_campaign(name=name).campaign
    assert planned.state == State.STATE_SENDING
    assert from_timestamp(planned.launch_time) == NOW + timedelta(hours=1)
    assert (planned.counts.audience, planned.counts.planned) == (7, 7)
    assert len(directory.listed) == 3
    # Who enters or leaves the segment from now on changes nothing.
    late = directory.add()
    directory.members[EVERYBODY] = {late}
    assert api.get_operation(name=operation.name).operation.progress.total == 7
    assert desk.send() == 7
    desk.finish(operation)
    done = api.get_operation(name=operation.name).operation
    assert done.done
    assert not done.HasField("error")
    result = pb.LaunchCampaignResult()
    assert done.response.Unpack(result)
    ended = api.get_campaign(name=name).campaign
    assert ended.state == State.STATE_DONE
    assert result.counts == ended.counts
    assert (ended.counts.audience, ended.counts.sent, ended.counts.duplicates) == (7, 7, 0)
    assert {item.contact for item in api.list_messages(origin=name).messages} == people
    assert sorted(item.to for item in desk.smtp.received()[-7:]) == sorted(
        directory.addresses[person, "email"] for person in people
    )


def test_launch_campaign_of_nobody_is_done_at_once(desk: Desk, api: Any) -> None:
    name = desk.campaign()
    desk.finish(api.launch_campaign(name=name).operation)
    ended = api.get_campaign(name=name).campaign
    assert (ended.state, ended.counts.audience) == (State.STATE_DONE, 0)


def test_launch_campaign_happens_once(desk: Desk, api: Any, directory: Directory) -> None:
    directory.add()
    name, other = desk.campaign(), desk.campaign("other")
    request_id = uuid4().hex
    first = api.launch_campaign(name=name, request_id=request_id).operation
    assert api.launch_campaign(name=name, request_id=request_id).operation.name == first.name
    desk.plan(first)
    desk.send()
    desk.finish(first)
    # Also when it is done, for an answer may have been lost.
    again = api.launch_campaign(name=name, request_id=request_id).operation
    assert (again.name, again.done) == (first.name, True)
    with pytest.raises(errors.InvalidArgument) as caught:
        api.launch_campaign(name=other, request_id=request_id)
    assert caught.value.reason == "REQUEST_ID_REUSED"
    assert state(api, other) == State.STATE_DRAFT
    assert len(api.list_messages(origin=name).messages) == 1


def test_launch_campaign_that_is_only_tried_changes_nothing(
    desk: Desk, api: Any, directory: Directory
) -> None:
    name = desk.campaign()
    assert api.launch_campaign(name=name, validate_only=True) == pb.LaunchCampaignResponse()
    # Consent is asked at the moment of sending: the audience are the members.
    for consent in (DENIED, UNDECIDED, DENIED):
        directory.add(consent=consent)
    tried = api.launch_campaign(name=name, validate_only=True, request_id="r")
    assert (tried.audience_size, tried.HasField("operation")) == (3, False)
    assert state(api, name) == State.STATE_DRAFT
    assert not api.get_campaign(name=name).campaign.HasField("launch_time")
    assert not api.list_messages(origin=name).messages
    assert not api.list_operations().operations
    # Its request id is free for the launch itself.
    started = api.launch_campaign(name=name, request_id="r")
    assert (started.operation.done, started.audience_size) == (False, 0)
    with pytest.raises(errors.FailedPrecondition) as caught:
        api.launch_campaign(name=name, validate_only=True)
    assert caught.value.reason == "CAMPAIGN_STATE"


def test_launch_campaign_that_is_tried_tells_what_is_in_the_way(
    desk: Desk, api: Any, directory: Directory
) -> None:
    def refusal(name: str) -> errors.RapportError:
        with pytest.raises(errors.RapportError) as caught:
            api.launch_campaign(name=name, validate_only=True, _retry=NO_RETRY)
        return caught.value

    assert isinstance(refusal("campaigns/none"), errors.NotFound)
    directory.members["segments/gone"] = set()
    desk.campaign("nowhere", segment="segments/gone")
    del directory.members["segments/gone"]
    nowhere = refusal("campaigns/nowhere")
    assert isinstance(nowhere, errors.NotFound)
    assert nowhere.metadata["resource"] == "segments/gone"

    person = directory.add()
    desk.template("odd", text="{{ 1 // (contact.given_name | length) }}")
    odd = refusal(desk.campaign("odd", template="templates/odd"))
    assert isinstance(odd, errors.InvalidArgument)
    assert odd.reason == "RENDER_FAILED"
    assert person in odd.message
    directory.forget(person)  # erased, but not out of the segment yet: the launch passes it over
    assert api.launch_campaign(name="campaigns/odd", validate_only=True).audience_size == 1

    directory.down = True
    assert isinstance(refusal("campaigns/odd"), errors.Unavailable)


def test_launch_campaign_refuses_coupons_that_nobody_could_redeem(desk: Desk, api: Any) -> None:
    pool = desk.pool(expire_time=NOW + timedelta(hours=1))
    name = desk.campaign(coupon_pool=pool)
    assert api.launch_campaign(name=name, validate_only=True).audience_size == 0
    desk.served.clock.instant = NOW + timedelta(hours=1)
    for validate_only in (True, False):
        with pytest.raises(errors.FailedPrecondition) as caught:
            api.launch_campaign(name=name, validate_only=validate_only)
        assert caught.value.reason == "COUPON_POOL_EXPIRED"
    assert state(api, name) == State.STATE_DRAFT


def test_launch_campaign_refuses_a_channel_whose_plugin_is_gone(
    desk: Desk, api: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = desk.campaign()
    monkeypatch.setattr(campaigns, "known_channels", lambda runtime: {})
    for validate_only in (True, False):
        with pytest.raises(errors.FailedPrecondition) as caught:
            api.launch_campaign(name=name, validate_only=validate_only)
        assert caught.value.reason == "UNKNOWN_CHANNEL"
    assert state(api, name) == State.STATE_DRAFT


def test_launch_campaign_takes_a_draft_only(desk: Desk, api: Any, directory: Directory) -> None:
    with pytest.raises(errors.NotFound):
        api.launch_campaign(name="campaigns/none")
    directory.add()
    name = desk.campaign()
    operation = api.launch_campaign(name=name).operation
    for step in (
        lambda: None,
        lambda: desk.plan(operation),
        lambda: api.pause_campaign(name=name),
        lambda: api.cancel_campaign(name=name),
    ):
        step()
        with pytest.raises(errors.FailedPrecondition) as caught:
            api.launch_campaign(name=name)
        assert caught.value.reason == "CAMPAIGN_STATE"
    assert len(api.list_messages(origin=name).messages) == 1


def test_pause_campaign_and_resume_campaign(desk: Desk, api: Any, directory: Directory) -> None:
    directory.add()
    name = desk.campaign()
    desk.launch(name)
    for _ in range(2):
        paused = api.pause_campaign(name=name).campaign
        assert (paused.name, paused.state, paused.counts.planned) == (name, State.STATE_PAUSED, 1)
    assert desk.send() == 0
    assert api.get_campaign(name=name).campaign == paused
    for _ in range(2):
        assert api.resume_campaign(name=name).campaign.state == State.STATE_SENDING
    assert desk.send() == 1
    assert api.get_campaign(name=name).campaign.counts.sent == 1


def test_pause_campaign_while_it_is_planned(desk: Desk, api: Any, directory: Directory) -> None:
    directory.add()
    name = desk.campaign()
    operation = api.launch_campaign(name=name).operation
    assert api.pause_campaign(name=name).campaign.state == State.STATE_PAUSED
    desk.plan(operation)
    assert desk.send() == 0
    resumed = api.resume_campaign(name=name).campaign
    assert (resumed.state, resumed.counts.planned) == (State.STATE_SENDING, 1)
    assert desk.send() == 1


def test_resume_campaign_while_it_is_planned(desk: Desk, api: Any) -> None:
    name = desk.campaign()
    api.launch_campaign(name=name)
    api.pause_campaign(name=name)
    for _ in range(2):
        assert api.resume_campaign(name=name).campaign.state == State.STATE_PLANNING


def test_pause_campaign_refuses_one_that_does_not_run(desk: Desk, api: Any) -> None:
    refuses_unless_running(desk, "pause_campaign")


def test_resume_campaign_refuses_one_that_does_not_run(desk: Desk, api: Any) -> None:
    refuses_unless_running(desk, "resume_campaign")


def refuses_unless_running(desk: Desk, method: str) -> None:
    api = desk.api
    with pytest.raises(errors.NotFound) as missing:
        getattr(api, method)(name="campaigns/none")
    assert missing.value.metadata["resource"] == "campaigns/none"
    drafted, cancelled, done = (desk.campaign(key) for key in ("draft", "cancelled", "done"))
    api.cancel_campaign(name=cancelled)
    desk.finish(api.launch_campaign(name=done).operation)
    for name, kind in (
        (drafted, State.STATE_DRAFT),
        (cancelled, State.STATE_CANCELLED),
        (done, State.STATE_DONE),
    ):
        with pytest.raises(errors.FailedPrecondition) as caught:
            getattr(api, method)(name=name)
        assert caught.value.reason == "CAMPAIGN_STATE"
        assert name in str(caught.value)
        assert state(api, name) == kind


def test_cancel_campaign(desk: Desk, api: Any, directory: Directory) -> None:
    for _ in range(3):
        directory.add()
    name = desk.campaign()
    operation = desk.launch(name)
    for _ in range(2):
        ended = api.cancel_campaign(name=name).campaign
        assert (ended.state, ended.counts.planned, ended.counts.cancelled) == (State.STATE_CANCELLED, 0, 3)
    assert desk.send() == 0
    desk.finish(operation)
    result = pb.LaunchCampaignResult()
    assert api.get_operation(name=operation.name).operation.response.Unpack(result)
    assert (result.counts.audience, result.counts.cancelled) == (3, 3)
    assert state(api, name) == State.STATE_CANCELLED
    assert {item.state for item in api.list_messages(origin=name).messages} == {pb.Message.STATE_CANCELLED}


def test_cancel_campaign_in_the_middle_keeps_what_was_sent(
    desk: Desk, api: Any, directory: Directory
) -> None:
    directory.add()
    later = directory.add(address="later@mail.test")
    desk.smtp.behave("temporary", to="later@mail.test")
    name = desk.campaign()
    desk.launch(name)
    desk.send()
    assert api.get_campaign(name=name).campaign.counts.sent == 1
    counts = api.cancel_campaign(name=name).campaign.counts
    assert (counts.audience, counts.sent, counts.cancelled) == (2, 1, 1)
    assert balanced(counts)
    [message] = api.list_messages(contact=later).messages
    assert message.state == pb.Message.STATE_CANCELLED


@pytest.mark.parametrize("stage", ["draft", "planning", "paused"])
def test_cancel_campaign_at_any_stage_before_it_is_done(
    desk: Desk, api: Any, directory: Directory, stage: str
) -> None:
    directory.add()
    name = desk.campaign()
    operation = api.launch_campaign(name=name).operation if stage != "draft" else None
    if stage == "paused":
        desk.plan(operation)
        api.pause_campaign(name=name)
    assert api.cancel_campaign(name=name).campaign.state == State.STATE_CANCELLED
    if operation is not None:
        desk.finish(operation)
    assert desk.send() == 0
    counts = api.get_campaign(name=name).campaign.counts
    assert (counts.planned, counts.sent) == (0, 0)


def test_cancel_campaign_refuses_one_that_is_done_or_not_there(desk: Desk, api: Any) -> None:
    with pytest.raises(errors.NotFound):
        api.cancel_campaign(name="campaigns/none")
    name = desk.campaign()
    desk.finish(api.launch_campaign(name=name).operation)
    with pytest.raises(errors.FailedPrecondition) as caught:
        api.cancel_campaign(name=name)
    assert caught.value.reason == "CAMPAIGN_STATE"


def test_transactional_topic_needs_no_consent_but_heeds_a_refusal(
    desk: Desk, api: Any, directory: Directory
) -> None:
    directory.add(consent=UNDECIDED)
    directory.add(consent=DENIED, topic="transactional")
    directory.add(consent=DENIED, topic="marketing")
    directory.add(consent=UNDECIDED, address="off@mail.test")
    api.add_suppressions(suppressions=[{"kind": "email", "address": "off@mail.test"}])
    name = desk.campaign(topic="transactional")
    desk.launch(name)
    desk.send()
    counts = api.get_campaign(name=name).campaign.counts
    assert counts.sent == 2
    assert dict(counts.suppressed_by_reason) == {"CONSENT_DENIED": 1, "SUPPRESSED": 1}
