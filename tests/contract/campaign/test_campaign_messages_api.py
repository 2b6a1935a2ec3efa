"""Single messages and the ledger over a real port."""

from __future__ import annotations

from datetime import timedelta
from email import message_from_bytes, policy
from typing import Any
from uuid import uuid4

import pytest
from rapport.campaign.v1 import campaign_pb2 as pb
from rapport_client import errors

from services.kit.wire import from_timestamp
from tests.support.campaign_desk import Desk
from tests.support.campaign_fakes import DENIED, GRANTED, UNDECIDED, Directory
from tests.support.stack import NOW

State = pb.Message


def fields(caught: pytest.ExceptionInfo[errors.RapportError]) -> set[str]:
    return {violation.field for violation in caught.value.violations}


def single(contact: str, **fields: Any) -> dict[str, Any]:
    return {
        "contact": contact,
        "channel": "email.smtp",
        "topic": "transactional",
        "subject": "Your case",
        "text": "We looked {{ into }} it.\nYours",
        "request_id": uuid4().hex,
        **fields,
    }


def mail_to(desk: Desk, address: str) -> Any:
    [found] = [item for item in desk.smtp.received() if item.to == address]
    return message_from_bytes(found.raw, policy=policy.default)


def unknown_message(desk: Desk) -> Any:
    """Send a message whose server vanishes before it confirms."""
    address = f"{uuid4().hex}@mail.test"
    desk.smtp.behave("drop_after", to=address)
    made = desk.api.send_message(**single(desk.directory.add(address=address))).message
    desk.send()
    found = desk.api.get_message(name=made.name).message
    assert found.state == State.STATE_UNKNOWN
    return found


def test_send_message(desk: Desk, api: Any, directory: Directory) -> None:
    person = directory.add(consent=UNDECIDED, display_name="Mai Nguyễn")
    request = single(person)
    planned = api.send_message(**request).message
    assert planned.name.startswith("messages/")
    assert (planned.contact, planned.channel, planned.topic) == (person, "email.smtp", "transactional")
    assert planned.origin == f"requests/{request['request_id']}"
    assert (planned.state, planned.attempt_count, planned.reason) == (State.STATE_PLANNED, 0, "")
    assert planned.external_id
    assert from_timestamp(planned.create_time) == NOW
    assert not planned.HasField("send_time")
    desk.served.clock.instant = NOW + timedelta(minutes=1)
    assert desk.send() == 1
    sent = api.get_message(name=planned.name).message
    assert (sent.state, sent.attempt_count, sent.subject) == (State.STATE_SENT, 1, "Your case")
    assert (sent.name, sent.external_id) == (planned.name, planned.external_id)
    assert from_timestamp(sent.send_time) == NOW + timedelta(minutes=1)
    mail = mail_to(desk, directory.addresses[person, "email"])
    assert mail["Subject"] == "Your case"
    assert mail["Message-ID"] == planned.external_id
    # Sent as it is: nothing in it is a template.
    assert mail.get_body(("plain",)).get_content().splitlines() == ["We looked {{ into }} it.", "Yours"]


def test_send_message_that_answers_another(desk: Desk, api: Any, directory: Directory) -> None:
    person = directory.add()
    api.send_message(**single(person, reply_to="reply+token@shop.test", in_reply_to="<first@customer.test>"))
    desk.send()
    mail = mail_to(desk, directory.addresses[person, "email"])
    assert mail["Reply-To"].addresses[0].addr_spec == "reply+token@shop.test"
    assert mail["In-Reply-To"] == "<first@customer.test>"


def test_send_message_is_answered_at_its_own_address(desk: Desk, api: Any, directory: Directory) -> None:
    person = directory.add()
    made = api.send_message(**single(person)).message
    desk.send()
    [address] = mail_to(desk, directory.addresses[person, "email"])["Reply-To"].addresses
    assert address.domain == "shop.test"
    token = address.username.removeprefix("reply+")
    _, key = desk.served.runtime.signer.verify(token)
    assert key.hex() == made.name.removeprefix("messages/").replace("-", "")


def test_send_message_to_an_address_of_its_own(desk: Desk, api: Any, directory: Directory) -> None:
    person, address = directory.add(address=""), f"{uuid4().hex}@mail.test"
    api.send_message(**single(person, address=address))
    somebody = f"{uuid4().hex}@mail.test"
    planned = api.send_message(**single("", address=somebody)).message
    assert planned.contact == ""
    desk.send()
    assert mail_to(desk, address)
    assert mail_to(desk, somebody)
    with pytest.raises(errors.InvalidArgument) as caught:
        api.send_message(**single(""))
    assert fields(caught) == {"address"}


def test_send_message_to_an_address_of_its_own_heeds_refusals(
    desk: Desk, api: Any, directory: Directory
) -> None:
    address = f"{uuid4().hex}@mail.test"
    api.add_suppressions(suppressions=[{"kind": "email", "address": address}])
    refused = directory.add(consent=DENIED, topic="transactional")
    made = [
        api.send_message(**request).message
        for request in (
            single("", address=address.upper()),
            single(directory.add(), address=address),
            single(refused, address=f"{uuid4().hex}@mail.test"),
        )
    ]
    desk.send()
    found = [api.get_message(name=item.name).message for item in made]
    assert {item.state for item in found} == {State.STATE_SUPPRESSED}
    assert [item.reason for item in found] == ["SUPPRESSED", "SUPPRESSED", "CONSENT_DENIED"]


def test_send_message_on_a_topic_needs_consent_on_it(desk: Desk, api: Any, directory: Directory) -> None:
    people = [
        directory.add(consent=GRANTED, topic="news"),
        directory.add(consent=GRANTED, topic="marketing"),
        directory.add(consent=DENIED, topic="news"),
        f"contacts/{uuid4()}",
    ]
    made = [api.send_message(**single(person, topic="news")).message for person in people]
    desk.send()
    found = [api.get_message(name=item.name).message for item in made]
    assert [item.reason for item in found] == ["", "NO_CONSENT", "CONSENT_DENIED", "CONTACT_GONE"]
    assert [item.state for item in found] == [State.STATE_SENT] + [State.STATE_SUPPRESSED] * 3
    # Nobody is there whose consent could be asked for.
    with pytest.raises(errors.InvalidArgument) as caught:
        api.send_message(**single("", address="a@mail.test", topic="news"))
    assert fields(caught) == {"topic"}


def test_send_message_happens_once_for_its_request_id(desk: Desk, api: Any, directory: Directory) -> None:
    request = single(directory.add())
    first = api.send_message(**request).message
    assert api.send_message(**request).message == first
    desk.send()
    assert api.send_message(**request).message.name == first.name
    assert desk.send() == 0
    for change in (
        {"text": "Other"},
        {"subject": "Other"},
        {"address": "other@mail.test"},
        {"contact": directory.add()},
        {"topic": "news"},
        {"reply_to": "x@shop.test"},
        {"in_reply_to": "<x@y.test>"},
    ):
        with pytest.raises(errors.AlreadyExists) as caught:
            api.send_message(**{**request, **change})
        assert caught.value.reason == "REQUEST_ID_REUSED"
    assert len(api.list_messages().messages) == 1


def test_send_message_by_an_unknown_channel(api: Any, directory: Directory) -> None:
    with pytest.raises(errors.NotFound) as caught:
        api.send_message(**single(directory.add(), channel="email.pigeon"))
    assert "email.pigeon" in str(caught.value)
    assert not api.list_messages().messages


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"contact": "orders/1"}, "contact"),
        ({"subject": "Hello\r\nBcc: all@mail.test"}, "subject"),
        ({"subject": "Hello\nthere"}, "subject"),
        ({"address": "a@mail.test\r\nRCPT TO:<b@mail.test>"}, "address"),
        ({"reply_to": "a@shop.test\nBcc: b@mail.test"}, "reply_to"),
        ({"in_reply_to": "<a@b>\r\nBcc: b@mail.test"}, "in_reply_to"),
        ({"topic": "Big Sale"}, "topic"),
        ({"subject": "s" * 1001}, "subject"),
        ({"text": "t" * 200_001}, "text"),
        ({"address": "a" * 321}, "address"),
        ({"request_id": "r" * 65}, "request_id"),
    ],
)
def test_send_message_refuses_bad_requests(
    api: Any, directory: Directory, change: dict[str, str], field: str
) -> None:
    with pytest.raises(errors.InvalidArgument) as caught:
        api.send_message(**{**single(directory.add()), **change})
    assert fields(caught) == {field}
    assert not api.list_messages().messages


def test_get_message(desk: Desk, api: Any, directory: Directory) -> None:
    desk.template(subject="Hi {{ contact.given_name }}", text="{{ coupon }}")
    desk.pool()
    person = directory.add(given_name="Mai")
    sent = desk.coupon(person)
    found = api.get_message(name=sent.name).message
    assert found == sent
    assert (found.contact, found.subject, found.topic) == (person, "Hi Mai", "marketing")
    assert found.origin.startswith("campaigns/")
    assert found.coupon_code in mail_to(desk, directory.addresses[person, "email"]).as_string()
    missing = f"messages/{uuid4()}"
    with pytest.raises(errors.NotFound) as caught:
        api.get_message(name=missing)
    assert caught.value.metadata["resource"] == missing


def test_get_message_tells_why_it_failed_or_waits(desk: Desk, api: Any, directory: Directory) -> None:
    broken, full = f"{uuid4().hex}@mail.test", f"{uuid4().hex}@mail.test"
    desk.smtp.behave("permanent", to=broken)
    desk.smtp.behave("temporary", to=full)
    failed = api.send_message(**single(directory.add(address=broken))).message
    waits = api.send_message(**single(directory.add(address=full))).message
    desk.send()
    failed = api.get_message(name=failed.name).message
    assert (failed.state, failed.attempt_count) == (State.STATE_FAILED, 1)
    assert failed.reason.startswith("550")
    waits = api.get_message(name=waits.name).message
    assert (waits.state, waits.attempt_count) == (State.STATE_PLANNED, 1)
    assert waits.reason.startswith("451")
    for item in (failed, waits):
        assert broken not in item.reason
        assert full not in item.reason
    desk.smtp.behave("accept", to=full)
    desk.served.clock.instant = NOW + timedelta(days=1)
    desk.send()
    sent = api.get_message(name=waits.name).message
    assert (sent.state, sent.attempt_count, sent.external_id) == (State.STATE_SENT, 2, waits.external_id)


def test_list_messages(desk: Desk, api: Any, directory: Directory) -> None:
    desk.template()
    people = [directory.add() for _ in range(5)]
    name = desk.campaign()
    desk.launch(name)
    desk.served.clock.instant = NOW + timedelta(minutes=1)
    desk.send()
    desk.served.clock.instant = NOW + timedelta(hours=1)
    late = api.send_message(**single(people[0])).message
    everything = list(api.list_messages.iterate(page_size=2))
    assert len(everything) == 6
    assert everything[0] == late
    times = [from_timestamp(item.create_time) for item in everything]
    assert times == sorted(times, reverse=True)
    assert {item.contact for item in api.list_messages(origin=name).messages} == set(people)
    assert [item.name for item in api.list_messages(origin=late.origin).messages] == [late.name]
    assert {item.origin for item in api.list_messages(contact=people[0]).messages} == {name, late.origin}
    assert [item.name for item in api.list_messages(state="STATE_PLANNED").messages] == [late.name]
    assert len(api.list_messages(origin=name, state="STATE_SENT", contact=people[1]).messages) == 1
    assert not api.list_messages(contact=f"contacts/{uuid4()}").messages
    assert not api.list_messages(origin="campaigns/none").messages


def test_list_messages_of_another_question_needs_another_token(
    desk: Desk, api: Any, directory: Directory
) -> None:
    person = directory.add()
    for _ in range(3):
        api.send_message(**single(person))
    token = api.list_messages(contact=person, page_size=1).next_page_token
    assert len(api.list_messages(contact=person, page_size=5, page_token=token).messages) == 2
    for other in ({}, {"contact": directory.add()}, {"contact": person, "state": "STATE_PLANNED"}):
        with pytest.raises(errors.InvalidArgument) as caught:
            api.list_messages(**other, page_size=1, page_token=token)
        assert caught.value.reason == "PAGE_TOKEN_MISMATCH"
    for bad in ({"contact": "orders/1"}, {"state": 99}):
        with pytest.raises(errors.InvalidArgument) as caught:
            api.list_messages(**bad)
        assert fields(caught) == set(bad)


def test_resolve_message_as_sent(desk: Desk, api: Any) -> None:
    lost = unknown_message(desk)
    desk.served.clock.instant = NOW + timedelta(hours=1)
    assert desk.send() == 0
    for _ in range(2):
        settled = api.resolve_message(name=lost.name, resolution="RESOLUTION_SENT").message
        assert (settled.name, settled.state) == (lost.name, State.STATE_SENT)
        assert from_timestamp(settled.send_time) == NOW
    assert desk.send() == 0
    assert api.get_message(name=lost.name).message == settled


def test_resolve_message_to_be_sent_again(desk: Desk, api: Any) -> None:
    lost = unknown_message(desk)
    address = desk.directory.addresses[lost.contact, "email"]
    desk.smtp.behave("accept", to=address)
    for _ in range(2):
        again = api.resolve_message(name=lost.name, resolution="RESOLUTION_RETRY").message
        assert again.state == State.STATE_PLANNED
    assert desk.send() == 1
    sent = api.get_message(name=lost.name).message
    assert (sent.state, sent.attempt_count, sent.external_id) == (State.STATE_SENT, 2, lost.external_id)
    both = [item for item in desk.smtp.received() if item.to == address]
    assert [item.message_id for item in both] == [lost.name.removeprefix("messages/")] * 2
    assert both[0].text == both[1].text


def test_resolve_message_counts_in_its_campaign(desk: Desk, api: Any, directory: Directory) -> None:
    desk.template()
    directory.add(address="vanishes@mail.test")
    desk.smtp.behave("drop_after", to="vanishes@mail.test")
    name = desk.campaign()
    operation = desk.launch(name)
    desk.send()
    counts = api.get_campaign(name=name).campaign.counts
    assert (counts.audience, counts.unknown, counts.sent) == (1, 1, 0)
    desk.finish(operation)
    [lost] = api.list_messages(origin=name, state="STATE_UNKNOWN").messages
    api.resolve_message(name=lost.name, resolution="RESOLUTION_SENT")
    counts = api.get_campaign(name=name).campaign.counts
    assert (counts.audience, counts.unknown, counts.sent) == (1, 0, 1)


def test_resolve_message_that_is_not_unknown(desk: Desk, api: Any, directory: Directory) -> None:
    missing = f"messages/{uuid4()}"
    with pytest.raises(errors.NotFound) as absent:
        api.resolve_message(name=missing, resolution="RESOLUTION_SENT")
    assert absent.value.metadata["resource"] == missing
    planned = api.send_message(**single(directory.add())).message
    with pytest.raises(errors.FailedPrecondition) as caught:
        api.resolve_message(name=planned.name, resolution="RESOLUTION_SENT")
    assert caught.value.reason == "MESSAGE_STATE"
    desk.send()
    with pytest.raises(errors.FailedPrecondition) as caught:
        api.resolve_message(name=planned.name, resolution="RESOLUTION_RETRY")
    assert caught.value.reason == "MESSAGE_STATE"
    assert api.get_message(name=planned.name).message.state == State.STATE_SENT
    assert desk.send() == 0
