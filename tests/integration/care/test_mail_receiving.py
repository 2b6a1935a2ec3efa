"""Mail that comes in: threading by signed addresses alone, replays, loops, and several recipients."""

from __future__ import annotations

from collections import Counter
from uuid import uuid4

import pytest
import sqlalchemy as sa
from rapport.care.v1 import events_pb2

from services.care.domain.cases import Case, CaseState, MessageKind
from services.care.models import automatic_mail, received_mail
from services.care.usecases import cases, upkeep
from services.care.usecases.inbound import Received, receive_mail
from services.kit.errors import InvalidArgument, Unavailable
from services.kit.runtime import Runtime
from services.kit.signing import CASE, CONTACT, MESSAGE
from tests.support.care import (
    DOMAIN,
    Campaign,
    at_once,
    events,
    mail,
    make_queue,
    neighbour,
    reply_address,
    unsubscribe_address,
)
from tests.support.stack import Served

OPEN = f"care@{DOMAIN}"
SENDER = "customer@example.test"


def take(runtime: Runtime, raw: bytes, *recipients: str, sender: str = SENDER) -> Received:
    return receive_mail(runtime, raw, sender, recipients or (OPEN,))


def case_of(received: Received) -> Case:
    assert received.case is not None
    return received.case


def texts(runtime: Runtime, case: Case) -> list[str]:
    return [item.text for item in cases.list_messages(runtime, case.id, after=None, count=100)]


def count(runtime: Runtime) -> int:
    return len(cases.list_cases(runtime, count=100))


@pytest.fixture
def campaign(served: Served) -> Campaign:
    fake = Campaign()
    with neighbour(served, "campaign", fake):
        yield fake


def test_a_stranger_opens_a_case_that_trusts_nobody(runtime: Runtime):
    received = take(runtime, mail("Help!", subject="Broken", message_id="<1@x>"))
    case = case_of(received)
    assert received.outcome == "opened"
    assert (case.contact_id, case.verified, case.address) == (None, False, SENDER)
    assert (case.subject, case.channel, case.state) == ("Broken", "email", CaseState.NEW)
    [message] = cases.list_messages(runtime, case.id, after=None, count=10)
    assert (message.kind, message.text, message.author, message.external_id) == (
        MessageKind.INBOUND,
        "Help!",
        SENDER,
        "<1@x>",
    )


def test_subject_and_sender_continue_nothing(runtime: Runtime):
    first = case_of(take(runtime, mail(subject="Broken")))
    again = take(runtime, mail(subject=f"Re: Broken [#{first.number}]", headers="In-Reply-To: <1@x>\r\n"))
    assert again.outcome == "opened"
    assert case_of(again).id != first.id


def test_the_same_mail_again_changes_nothing(runtime: Runtime):
    raw = mail(message_id="<same@x>")
    first = take(runtime, raw)
    before = events(runtime)
    for again in (
        take(runtime, raw),
        take(runtime, raw, f"support@{DOMAIN}"),
        take(runtime, raw, OPEN.upper()),
    ):
        assert again.outcome == "duplicate"
        assert case_of(again) == first.case
    nameless = mail(message_id=None)
    assert [take(runtime, nameless).outcome for _ in range(2)] == ["opened", "duplicate"]
    assert take(runtime, mail("other words", message_id=None)).outcome == "opened"
    assert len(events(runtime)) == len(before) + 2


def test_the_same_mail_many_times_at_once_opens_one_case(runtime: Runtime):
    raw = mail()
    got = at_once(8, lambda _: take(runtime, raw))
    assert Counter(one.outcome for one in got) == {"opened": 1, "duplicate": 7}
    assert len({case_of(one).id for one in got}) == 1
    assert count(runtime) == 1


def test_a_case_goes_on_by_its_own_address_whoever_writes(runtime: Runtime):
    case = case_of(take(runtime, mail("one")))
    address = reply_address(runtime, CASE, case.id)
    answer = take(runtime, mail("two", sender="other@example.test"), address.upper())
    assert (answer.outcome, case_of(answer).id) == ("continued", case.id)
    assert texts(runtime, case) == ["one", "two"]
    assert not case_of(answer).verified


def test_a_mail_reopens_a_solved_case_and_opens_another_after_a_closed_one(runtime: Runtime):
    make_queue(runtime)
    case = case_of(take(runtime, mail("one")))
    address = reply_address(runtime, CASE, case.id)
    cases.resolve_case(runtime, case.id)
    assert case_of(take(runtime, mail("two"), address)).state is CaseState.OPEN
    cases.resolve_case(runtime, case.id)
    runtime.clock.instant += upkeep.CLOSE_AFTER
    upkeep.close_resolved(runtime)
    fresh = take(runtime, mail("three"), address)
    assert fresh.outcome == "opened"
    assert case_of(fresh).id != case.id
    assert texts(runtime, case_of(fresh)) == ["three"]


def test_an_answer_to_a_message_opens_a_case_of_its_contact_and_later_ones_continue_it(
    served: Served, campaign: Campaign
):
    runtime = served.runtime
    contact = uuid4()
    message = campaign.went_to(f"contacts/{contact}")
    address = reply_address(runtime, MESSAGE, message)
    first = take(runtime, mail("one", sender="someone@else.test"), address)
    case = case_of(first)
    assert first.outcome == "opened"
    assert (case.contact_id, case.verified, case.origin_message) == (contact, True, message)
    assert take(runtime, mail("two"), address).outcome == "continued"
    assert texts(runtime, case) == ["one", "two"]
    # Another message has another case; a closed case does not go on.
    other = reply_address(runtime, MESSAGE, campaign.went_to(f"contacts/{contact}"))
    assert take(runtime, mail("three"), other).outcome == "opened"
    cases.resolve_case(runtime, case.id)
    served.clock.instant += upkeep.CLOSE_AFTER
    upkeep.close_resolved(runtime)
    fresh = take(runtime, mail("four"), address)
    assert (fresh.outcome, case_of(fresh).contact_id) == ("opened", contact)
    assert [row.contact_id for row in events(runtime, "case.opened")] == [contact] * 3


def test_two_answers_at_once_to_the_same_message_share_one_case(served: Served, campaign: Campaign):
    address = reply_address(served.runtime, MESSAGE, campaign.went_to(f"contacts/{uuid4()}"))
    got = at_once(6, lambda number: take(served.runtime, mail(f"answer {number}"), address))
    assert Counter(one.outcome for one in got) == {"opened": 1, "continued": 5}
    assert len({case_of(one).id for one in got}) == 1
    assert sorted(texts(served.runtime, case_of(got[0]))) == [f"answer {number}" for number in range(6)]


def test_a_message_to_a_plain_address_proves_no_contact(served: Served, campaign: Campaign):
    address = reply_address(served.runtime, MESSAGE, campaign.went_to(""))
    case = case_of(take(served.runtime, mail(), address))
    assert (case.contact_id, case.verified) == (None, False)
    assert take(served.runtime, mail(), address).outcome == "continued"


def test_a_message_that_campaign_does_not_know_opens_an_unverified_case(served: Served, campaign: Campaign):
    address = reply_address(served.runtime, MESSAGE, uuid4())
    case = case_of(take(served.runtime, mail(), address))
    assert (case.contact_id, case.verified, case.origin_message) == (None, False, None)


def test_with_campaign_away_the_mail_is_refused_for_now_and_nothing_is_written(served: Served):
    runtime = served.runtime
    fake = Campaign()
    address = reply_address(runtime, MESSAGE, fake.went_to(f"contacts/{uuid4()}"))
    raw = mail()
    with pytest.raises(Unavailable) as caught:
        take(runtime, raw, address)
    assert caught.value.reason == "CAMPAIGN_UNAVAILABLE"
    assert (count(runtime), events(runtime)) == (0, [])
    with neighbour(served, "campaign", fake):
        assert take(runtime, raw, address).outcome == "opened"
        assert take(runtime, raw, address).outcome == "duplicate"


@pytest.mark.parametrize("kind", [CONTACT, "x"])
def test_tokens_of_other_kinds_and_forged_ones_prove_nothing(runtime: Runtime, kind: str):
    case = case_of(take(runtime, mail()))
    token = runtime.signer.sign(kind, case.id.bytes)
    good = runtime.signer.sign(CASE, case.id.bytes)
    forged = good[:-1] + ("a" if good[-1] != "a" else "e")
    for local in (f"reply+{token}", f"reply+{forged}", "reply+", f"u+marketing.{good}"):
        received = take(runtime, mail(), f"{local}@{DOMAIN}")
        assert received.outcome == "opened"
        assert not case_of(received).verified
    assert texts(runtime, case) == ["Where is my order?"]


def test_unsubscribing_tells_whose_and_what_and_opens_nothing(runtime: Runtime):
    contact = uuid4()
    raw = mail("", message_id="<stop@x>", headers="Auto-Submitted: auto-generated\r\n")
    address = unsubscribe_address(runtime, contact, "news")
    assert take(runtime, raw, address) == Received("unsubscribed")
    assert take(runtime, raw, address) == Received("duplicate")
    [event] = events(runtime)
    assert (event.type, event.contact_id) == ("unsubscribe.requested", contact)
    payload = events_pb2.UnsubscribeRequested.FromString(event.data)
    assert (payload.channel, payload.topic) == ("email", "news")
    assert count(runtime) == 0


@pytest.mark.parametrize(
    ("headers", "sender", "reason"),
    [
        ("Auto-Submitted: auto-replied\r\n", SENDER, "Auto-Submitted: auto-replied"),
        ("Precedence: bulk\r\n", SENDER, "Precedence: bulk"),
        ("", "", "null sender"),
        ("", f"support@{DOMAIN}", "comes from an address of care"),
    ],
)
def test_automatic_mail_is_kept_aside_and_touches_no_case(runtime: Runtime, headers, sender, reason):
    case = case_of(take(runtime, mail()))
    before = events(runtime)
    raw = mail("I am away", headers=headers)
    for recipient in (OPEN, reply_address(runtime, CASE, case.id)):
        assert take(runtime, raw, recipient, sender=sender).outcome == "automatic"
        assert take(runtime, raw, recipient, sender=sender) == Received("duplicate")
        if recipient == OPEN:
            raw = mail("still away", headers=headers)
    with runtime.db.read() as connection:
        kept = connection.execute(sa.select(automatic_mail.c.reason, automatic_mail.c.text)).all()
    assert sorted(kept) == sorted([(reason, "I am away"), (reason, "still away")])
    assert events(runtime) == before
    assert cases.get_case(runtime, case.id) == case


REPORT = "MIME-Version: 1.0\r\nContent-Type: multipart/report; report-type={}; boundary=x\r\n"


@pytest.mark.parametrize("kind", ["delivery-status", "feedback-report"])
@pytest.mark.parametrize("sender", ["", "fbl@provider.test"])
def test_a_report_on_our_mail_goes_to_campaign_and_opens_no_case(
    served: Served, campaign: Campaign, kind: str, sender: str
):
    runtime = served.runtime
    address = reply_address(runtime, MESSAGE, campaign.went_to(""))
    raw = f"From: a@mx.test\r\nMessage-ID: <{uuid4()}@x>\r\n{REPORT.format(kind)}\r\n--x--\r\n".encode()
    assert take(runtime, raw, OPEN, address, sender=sender).outcome == "automatic"
    [given] = campaign.reports
    assert (given.raw, given.recipient) == (raw, address)
    # Again, as a server does that did not get the answer: campaign knows it.
    assert take(runtime, raw, address, sender=sender).outcome == "duplicate"
    assert len(campaign.reports) == 2
    assert count(runtime) == 0


def test_a_report_waits_for_campaign(served: Served):
    raw = f"From: a@mx.test\r\nMessage-ID: <r@x>\r\n{REPORT.format('delivery-status')}\r\n--x--\r\n".encode()
    with pytest.raises(Unavailable) as caught:
        take(served.runtime, raw, sender="")
    assert caught.value.reason == "CAMPAIGN_UNAVAILABLE"
    with served.runtime.db.read() as connection:
        assert not connection.execute(sa.select(received_mail.c.outcome)).all()


def test_care_does_not_answer_itself(runtime: Runtime):
    case = case_of(take(runtime, mail()))
    own = reply_address(runtime, CASE, case.id)
    assert take(runtime, mail(sender=own)).outcome == "automatic"
    assert count(runtime) == 1


def test_a_mail_to_several_does_each_thing_once(runtime: Runtime):
    one, two = case_of(take(runtime, mail("a"))), case_of(take(runtime, mail("b")))
    contact = uuid4()
    recipients = [
        OPEN,
        reply_address(runtime, CASE, two.id),
        "somebody@else.test",
        reply_address(runtime, CASE, one.id),
        unsubscribe_address(runtime, contact),
        reply_address(runtime, CASE, one.id).upper(),
    ]
    raw = mail("to both")
    received = take(runtime, raw, *recipients)
    assert (received.outcome, case_of(received).id) == ("continued", two.id)
    assert texts(runtime, one) == ["a", "to both"]
    assert texts(runtime, two) == ["b", "to both"]
    assert len(events(runtime, "unsubscribe.requested")) == 1
    assert take(runtime, raw, *recipients).outcome == "duplicate"
    # The copy to the open address, brought by itself, is the same mail.
    assert take(runtime, raw, OPEN).outcome == "duplicate"
    assert count(runtime) == 2
    with runtime.db.read() as connection:
        outcomes = Counter(connection.scalars(sa.select(received_mail.c.outcome)))
    assert outcomes == {"opened": 2, "continued": 2, "unsubscribed": 1}


def test_mail_for_others_and_what_is_no_mail_is_refused(runtime: Runtime):
    for recipients in (["care@else.test"], [f"nobody@{DOMAIN}"], [f"care+x@{DOMAIN}", ""]):
        with pytest.raises(InvalidArgument) as caught:
            receive_mail(runtime, mail(), SENDER, recipients)
        assert caught.value.reason == "UNKNOWN_RECIPIENT"
    with pytest.raises(InvalidArgument) as caught:
        take(runtime, b"\x00\x01 no mail")
    assert caught.value.reason == "INVALID_MAIL"
    assert count(runtime) == 0


def test_hostile_characters_are_stored_without_harm(runtime: Runtime):
    raw = (
        b"From: a@b.test\r\nMessage-ID: <\x00\xff\xc3@x>\r\nSubject: =?utf-16?b?2AA=?= \x00\xfe\r\n"
        b"Content-Type: text/plain; charset=unicode_escape\r\n\r\n\\ud800 \x00 \xed\xa0\x80"
    )
    received = take(runtime, raw)
    assert received.outcome == "opened"
    assert take(runtime, raw).outcome == "duplicate"
    assert texts(runtime, case_of(received))


def test_without_a_sender_in_the_mail_the_envelopes_is_answered(runtime: Runtime):
    assert case_of(take(runtime, b"Subject: x\r\n\r\nhello")).address == SENDER
