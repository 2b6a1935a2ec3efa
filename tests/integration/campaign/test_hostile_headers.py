"""Names, subjects and addresses that smuggle headers or recipients into a mail: none leaves as more than a value."""

from __future__ import annotations

import re
from email import message_from_bytes, policy
from typing import Any

import pytest
from rapport_testing.smtp import SmtpServer

from services.campaign.usecases import messages
from services.campaign.usecases.messages import SingleMessage
from services.campaign.usecases.sending import Sender
from services.care.domain.addresses import Unsubscribe, parse_recipient
from services.kit.errors import InvalidArgument
from services.kit.names import new_id, parse_name
from services.kit.runtime import Runtime
from services.kit.signing import CONTACT
from tests.support.campaign import DENIED, World, make_campaign, make_template, plan

BREAKS = ["\r\n", "\n", "\r", "\x0b", "\x0c", "\x1c", "\x85", "\u2028", "\u2029", "\r\n\r\n", "\n.\r\n"]
HEADERS = {
    "From",
    "To",
    "Subject",
    "Date",
    "Message-ID",
    "Reply-To",
    "List-Unsubscribe",
    "List-Id",
    "Precedence",
    "MIME-Version",
    "Content-Type",
    "Content-Transfer-Encoding",
}


def drain(sender: Sender) -> None:
    while sender.run_once():
        pass


def mails(smtp: SmtpServer) -> list[Any]:
    return [message_from_bytes(item.raw, policy=policy.default) for item in smtp.received()]


@pytest.mark.parametrize("line_break", BREAKS, ids=repr)
def test_a_display_name_stays_within_its_header(
    runtime: Runtime, world: World, sender: Sender, smtp: SmtpServer, line_break: str
) -> None:
    evil = f"Eve{line_break}Bcc: victim@mail.test{line_break}X-Evil: 1{line_break}{line_break}<h1>body</h1>"
    [name] = world.add(display_name=evil, given_name=evil)
    address = world.people[name].address
    make_template(runtime, subject="Hi {{ contact.given_name }}", text="Hello", html="<p>Hello</p>")
    make_campaign(runtime)
    plan(runtime)
    drain(sender)
    [received] = smtp.received()
    assert received.to == address
    [mail] = mails(smtp)
    assert set(mail.keys()) <= HEADERS
    assert [item.addr_spec for item in mail["To"].addresses] == [address]
    assert "Bcc" not in mail
    assert mail.get_body(("plain",)).get_content().strip() == "Hello"
    assert len(str(mail["Subject"]).splitlines()) == 1
    assert not re.search(rb"(?m)^(Bcc|X-Evil):", received.raw)


@pytest.mark.parametrize(
    "name",
    [
        '"Eve" <victim@mail.test>, "Mallory',
        "Eve, victim@mail.test, Mallory",
        'Eve" <victim@mail.test> "',
        "=?utf-8?q?Eve?= <victim@mail.test>",
        "=?utf-8?b?" + "RXZlDQpCY2M6IHZpY3RpbUBtYWlsLnRlc3Q=" + "?=",
        'Eve (comment) \\ "quoted" ; group: a@b;',
        "名前" * 200,
        "\u202eeve",
    ],
)
def test_a_display_name_names_no_second_recipient(
    runtime: Runtime, world: World, sender: Sender, smtp: SmtpServer, name: str
) -> None:
    [contact] = world.add(display_name=name)
    make_template(runtime, text="Hello")
    make_campaign(runtime)
    plan(runtime)
    drain(sender)
    [received] = smtp.received()
    address = world.people[contact].address
    assert received.to == address
    [mail] = mails(smtp)
    assert [item.addr_spec for item in mail["To"].addresses] == [address]
    assert set(mail.keys()) <= HEADERS


@pytest.mark.parametrize(
    "address",
    [
        "a@mail.test\r\nRCPT TO:<victim@mail.test>",
        "a@mail.test>\r\nDATA\r\n",
        "a@mail.test, victim@mail.test",
        "<a@mail.test> victim@mail.test",
        "a@mail.test\nBcc: victim@mail.test",
        "a b@mail.test",
        "no address",
        "@",
        "a@",
    ],
)
def test_an_address_that_is_more_than_one_reaches_nobody(
    runtime: Runtime, world: World, sender: Sender, smtp: SmtpServer, address: str
) -> None:
    world.add(address=address)
    good, *_ = world.add()
    make_template(runtime, text="Hello")
    make_campaign(runtime)
    plan(runtime)
    drain(sender)
    assert [item.to for item in smtp.received()] == [world.people[good].address]
    [bad] = [item for item in ledger(runtime) if item.state != "sent"]
    assert bad.state in ("failed", "suppressed")
    assert bad.reason
    assert "victim@mail.test" not in bad.reason


def ledger(runtime: Runtime) -> list[Any]:
    return messages.list_messages(runtime, contact_id=None, origin="", state="", before=None, count=100)


def test_a_subject_from_a_template_is_one_line_whatever_its_values(
    runtime: Runtime, world: World, sender: Sender, smtp: SmtpServer
) -> None:
    world.add(given_name="Eve\r\nBcc: victim@mail.test", locality="\u2028X-Evil: 1")
    make_template(
        runtime, subject="Hi {{ contact.given_name }}\n{{ contact.locality }}\r\nX-More: 1", text="x"
    )
    make_campaign(runtime)
    plan(runtime)
    drain(sender)
    [mail] = mails(smtp)
    assert mail["Subject"] == "Hi Eve Bcc: victim@mail.test X-Evil: 1 X-More: 1"
    assert set(mail.keys()) <= HEADERS
    [row] = ledger(runtime)
    assert row.subject == mail["Subject"]


@pytest.mark.parametrize("line_break", BREAKS[:9], ids=repr)
@pytest.mark.parametrize("field", ["subject", "address", "reply_to", "in_reply_to"])
def test_a_single_message_with_a_line_break_in_a_header_is_refused(
    runtime: Runtime, field: str, line_break: str
) -> None:
    values: dict[str, Any] = {
        "contact_id": new_id(),
        "channel": "email.smtp",
        "topic": "transactional",
        "subject": "Hello",
        "text": "Hello",
        "reply_to": "",
        "in_reply_to": "",
        "address": "",
    }
    values[field] = f"a@mail.test{line_break}Bcc: victim@mail.test"
    with pytest.raises(InvalidArgument) as caught:
        messages.send_message(runtime, SingleMessage(**values), "r1")
    assert [violation.field for violation in caught.value.violations] == [field]
    assert not ledger(runtime)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("reply_to", "a@mail.test, b@mail.test"),
        ("reply_to", "no address"),
        ("in_reply_to", "<a@b> <c@d> <e@f>"),
        ("in_reply_to", "x" * 900),
        ("in_reply_to", "<ü@b>"),
    ],
)
def test_odd_headers_of_a_single_message_do_not_hold_up_the_others(
    runtime: Runtime, world: World, sender: Sender, smtp: SmtpServer, field: str, value: str
) -> None:
    person, other = world.add(2)
    common = {"channel": "email.smtp", "topic": "transactional", "subject": "Hello", "text": "Hello"}
    blank = {"reply_to": "", "in_reply_to": "", "address": ""}
    for number, (name, more) in enumerate([(person, {field: value}), (other, {})]):
        given = SingleMessage(contact_id=parse_name(name, "contacts"), **{**common, **blank, **more})
        messages.send_message(runtime, given, f"r{number}")
    drain(sender)
    assert world.people[other].address in [item.to for item in smtp.received()]
    # Whatever became of it, it is decided, and carries no header of its own making.
    assert {item.state for item in ledger(runtime)} <= {"sent", "failed"}
    for mail in mails(smtp):
        assert set(mail.keys()) <= HEADERS | {"In-Reply-To", "References"}


def test_a_text_that_looks_like_the_end_of_a_mail_is_text(
    runtime: Runtime, world: World, sender: Sender, smtp: SmtpServer
) -> None:
    text = "one\n.\nQUIT\n..\nFrom here\n\nMAIL FROM:<x@mail.test>\n" + "long " * 400
    make_template(runtime, text="{{ contact.display_name }}")
    world.add(display_name="x", given_name="x")
    [name] = world.add(display_name=text)
    make_campaign(runtime)
    plan(runtime)
    drain(sender)
    assert len(smtp.received()) == 2
    mail: Any
    [mail] = [
        message_from_bytes(item.raw, policy=policy.default)
        for item in smtp.received()
        if item.to == world.people[name].address
    ]
    shown = mail.get_body(("plain",)).get_content()
    assert shown.replace("\r\n", "\n").rstrip() == text.rstrip()


@pytest.mark.parametrize("topic", ["a", "news", "promo", "offers", "marketing", "back_in_stock", "t" * 16])
def test_care_takes_the_address_by_which_a_recipient_unsubscribes(
    runtime: Runtime, world: World, sender: Sender, smtp: SmtpServer, topic: str
) -> None:
    [name] = world.add()
    make_template(runtime, text="{{ links.unsubscribe }}")
    make_campaign(runtime, topic=topic)
    plan(runtime)
    drain(sender)
    [mail] = mails(smtp)
    header = str(mail["List-Unsubscribe"])
    assert re.fullmatch(r"<mailto:[^<>\s]+>", header)
    address = header.removeprefix("<mailto:").removesuffix(">")
    assert mail.get_body(("plain",)).get_content().strip() == f"mailto:{address}"
    local, _, domain = address.partition("@")
    # A mail server need not take more (RFC 5321, 4.5.3.1.1).
    assert len(local) <= 64
    target = parse_recipient(address, domain)
    assert isinstance(target, Unsubscribe)
    assert target.topic == topic
    kind, key = runtime.signer.verify(target.token)
    assert (kind, key) == (CONTACT, parse_name(name, "contacts").bytes)


@pytest.mark.parametrize("topic", ["t" * 17, "t" * 40, "", "Marketing", "a b", "a.b", "a@b", "ä"])
def test_a_topic_that_no_unsubscribe_address_can_hold_is_refused(runtime: Runtime, topic: str) -> None:
    make_template(runtime)
    with pytest.raises(InvalidArgument):
        make_campaign(runtime, topic=topic)


def test_a_transactional_mail_offers_no_way_to_unsubscribe(
    runtime: Runtime, world: World, sender: Sender, smtp: SmtpServer
) -> None:
    world.add()
    world.add(consent=DENIED)
    make_template(runtime, text="[{{ links.unsubscribe }}]")
    make_campaign(runtime, topic="transactional")
    plan(runtime)
    drain(sender)
    [mail] = mails(smtp)
    assert "List-Unsubscribe" not in mail
    assert mail.get_body(("plain",)).get_content().strip() in ("[]", "[mailto:]")
