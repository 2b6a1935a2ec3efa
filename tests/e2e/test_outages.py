"""One service is away for a while: the others go on, and afterwards everything has happened once."""

from __future__ import annotations

import smtplib
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from email.message import EmailMessage

import pytest
from google.protobuf.message import Message
from rapport_client import Rapport
from rapport_client.errors import DeadlineExceeded, Unavailable
from rapport_client.retry import NO_RETRY

from services.demo.mailbox import Mail
from services.kit.config import SERVICES
from tests.e2e.calls import (
    QUESTIONS,
    all_events_have_their_effects,
    answer_case,
    new_contact,
    numbers,
    orders_seen,
    place_order,
    started_journeys,
)
from tests.e2e.conftest import NOW, Running
from tests.support.waiting import until

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(280)]

# The parts of the glance that each service answers for.
PARTS = {
    "contacts": {"contact", "activities"},
    "sales": {"sales"},
    "segmentation": {"segments", "traits"},
    "campaign": {"messages"},
}


@contextmanager
def away(running: Running, service: str) -> Iterator[None]:
    """Kill all processes of a service, and let them come back only after the block."""
    supervisor = running.stack.supervisor
    roles = ("api", "worker", "sender", "web") if service == "campaign" else ("api", "worker")
    names = [f"{service}-{role}" for role in roles]
    supervisor.hold(*names)
    try:
        yield
        assert [supervisor.pid(name) for name in names] == [None] * len(names)
    finally:
        supervisor.release(*names)
    for name in names:
        assert supervisor.wait_ready(name, timeout=90)


def mails_with(running: Running, text: str) -> list[Mail]:
    return [mail for mail in running.mailbox.mails() if text in str(mail.message["Subject"])]


def mail_with(running: Running, text: str) -> Mail:
    until(lambda: mails_with(running, text), f"a mail about {text} arrives")
    return mails_with(running, text)[0]


def write_news(running: Running, contact: str) -> Mail:
    """Let a contact have a mail that it may answer and refuse more of."""
    consent = {"channel": "email", "topic": "marketing", "state": "STATE_GRANTED"}
    running.rapport.contacts.record_consents(
        consents=[{"contact": contact, "decide_time": NOW - timedelta(days=1), **consent}]
    )
    news = f"News {next(numbers)}"
    running.rapport.campaign.send_message(
        contact=contact, channel="email.smtp", topic="marketing", subject=news, text="New", request_id=news
    )
    return mail_with(running, news)


def to(address: str, text: str) -> EmailMessage:
    mail = EmailMessage()
    mail["From"], mail["To"], mail["Subject"] = "somebody@example.test", address, "Re: yours"
    mail["Message-ID"] = f"<e2e-{next(numbers)}@example.test>"
    mail.set_content(text)
    return mail


def hand_in(running: Running, mail: EmailMessage) -> int | None:
    """Give a mail to care as another mail server does; return what it answers, None when it cannot be reached."""
    settings = running.settings
    try:
        with smtplib.SMTP(settings.inbound_mail_host, settings.inbound_mail_port, timeout=30) as smtp:
            smtp.send_message(mail)
    except ConnectionError:
        return None
    except smtplib.SMTPDataError as error:
        return error.smtp_code
    return 250


def refused(running: Running, service: str) -> bool:
    try:
        QUESTIONS[service](running.rapport, _retry=NO_RETRY, _timeout=5)
    except (Unavailable, DeadlineExceeded):
        return True
    return False


def is_whole(rapport: Rapport, contact: str) -> bool:
    return not rapport.care.get_customer_glance(contact=contact).unavailable_parts


def cases_of(running: Running, contact: str) -> list[Message]:
    return list(running.rapport.care.list_cases.iterate(contact=contact, _wait_for_ready=True))


def inbound(running: Running, case: Message) -> list[str]:
    said = running.rapport.care.list_case_messages.iterate(case=case.name)  # type: ignore[attr-defined]
    return [item.text.strip() for item in said if item.kind == item.KIND_INBOUND]


@pytest.mark.parametrize("service", SERVICES)
def test_with_one_service_away_the_others_go_on_and_its_effects_catch_up(running: Running, service: str):
    rapport = running.rapport
    contact = new_contact(rapport)
    journeys = started_journeys(rapport)
    news = write_news(running, contact)
    answered = mail_with(running, answer_case(rapport, contact))
    until(lambda: all_events_have_their_effects(rapport), "what other tests did is over")
    # A worker that has just started may not have subscribed yet, and nothing lags for it.
    until(lambda: is_whole(rapport, contact), "all services know the contact")
    journeys = started_journeys(rapport)
    on_its_way = answer_case(rapport, contact)
    mails = {
        "case": to(answered.message["Reply-To"], "It is still broken."),
        "news": to(news.message["Reply-To"], "Tell me more."),
        "stop": to(str(news.message["List-Unsubscribe"]).strip("<>").removeprefix("mailto:"), "stop"),
    }
    written_meanwhile = ""

    with away(running, service):
        assert refused(running, service)
        for other in SERVICES:
            if other != service:
                QUESTIONS[other](rapport)
        if service == "sales":
            with pytest.raises((Unavailable, DeadlineExceeded)):
                rapport.sales.place_order(order={"contact": contact}, _retry=NO_RETRY, _timeout=5)
        else:
            place_order(rapport, contact)
        if service != "care":
            glance = rapport.care.get_customer_glance(contact=contact)
            assert set(glance.unavailable_parts) == PARTS[service]
            assert all(glance.unavailable_parts.values())
            assert len(glance.cases) == 2
            written_meanwhile = answer_case(rapport, contact)
        codes = {what: hand_in(running, mail) for what, mail in mails.items()}
        # Put off, not refused: whoever sends it comes again. Only campaign knows whom its messages went to.
        away_codes = {"care": dict.fromkeys(mails, None), "campaign": {"case": 250, "news": 451, "stop": 250}}
        assert codes == away_codes.get(service, dict.fromkeys(mails, 250))
        assert refused(running, service)

    QUESTIONS[service](rapport, _wait_for_ready=True)
    if service == "sales":
        place_order(rapport, contact)
    # Those put off come again; those that were taken, too, as when the answer to the first was lost.
    assert {what: hand_in(running, mail) for what, mail in mails.items()} == dict.fromkeys(mails, 250)

    def decision() -> int:
        return int(rapport.contacts.list_consents(contact=contact).consents[0].state)

    refusal = 2  # Consent.STATE_DENIED
    until(lambda: decision() == refusal, "contacts learns that no more news are wanted")
    until(lambda: orders_seen(rapport, contact) == 1, "segmentation learns of the order")
    until(lambda: started_journeys(rapport) > journeys, "campaign starts the journey")
    for number in filter(None, (on_its_way, written_meanwhile)):
        mail_with(running, number)
    until(lambda: all_events_have_their_effects(rapport), "nothing is left to do")

    # Once each, and nothing twice.
    assert orders_seen(rapport, contact) == 1
    assert started_journeys(rapport) == journeys + 1
    for number in filter(None, (on_its_way, written_meanwhile)):
        assert len(mails_with(running, number)) == 1
    decided = [item.state for item in rapport.contacts.list_consents(contact=contact).consents]
    assert decided == [refusal, 1]
    told = sorted(inbound(running, case) for case in cases_of(running, contact))
    quiet: list[list[str]] = [[]] * (2 if written_meanwhile else 1)
    assert told == sorted([*quiet, ["It is still broken."], ["Tell me more."]])
    # Care looks for a service that was away again after two seconds at most.
    until(lambda: is_whole(rapport, contact), "the glance is whole")
    glance = rapport.care.get_customer_glance(contact=contact)
    assert [len(glance.sales.recent_orders), glance.contact.name] == [1, contact]
