"""Take in a mail: continue what its signed address names, or open a case."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Literal
from uuid import UUID

from rapport.care.v1 import events_pb2
from sqlalchemy import Connection

from services.care.domain.addresses import parse_recipient
from services.care.domain.cases import Case, CaseMessage, CaseState, MessageKind
from services.care.domain.mail import InboundMail, InvalidMail, read_mail
from services.care.domain.survey import read_answer
from services.care.models import kit
from services.care.store import cases
from services.care.store import mail as store
from services.care.usecases.cases import say
from services.care.usecases.csat import keep_answer
from services.care.usecases.delivery_reports import pass_on
from services.care.usecases.opening import NewCase, open_case
from services.care.usecases.recipients import (
    Anybody,
    CaseThread,
    MessageThread,
    Recipient,
    Stopping,
    resolve,
    with_contact,
)
from services.kit import outbox
from services.kit.access.scope import EVERYTHING
from services.kit.errors import InvalidArgument
from services.kit.names import format_name, new_id
from services.kit.outbox import NewEvent
from services.kit.runtime import Runtime

Outcome = Literal["opened", "continued", "duplicate", "automatic", "unsubscribed"]
CHANNEL = "email"


@dataclass(frozen=True, slots=True)
class Received:
    """Hold what became of a mail; case is None when it belongs to none."""

    outcome: Outcome
    case: Case | None = None


def accepts(address: str, domain: str) -> bool:
    """Say whether care takes mail for an address."""
    return parse_recipient(address, domain) is not None


def receive_mail(runtime: Runtime, raw: bytes, sender: str, recipients: Sequence[str]) -> Received:
    """Take in a mail, once for each thing that its recipients stand for, and return what became of the first.

    From and Subject decide nothing: only a signed address continues a case or names a contact. Each recipient is a
    transaction of its own; when one fails, the mail can come again as a whole. Raises InvalidArgument (INVALID_MAIL,
    UNKNOWN_RECIPIENT); Unavailable when campaign, which knows the message answered or reported on, does not answer.
    """
    try:
        mail = read_mail(raw, sender)
    except InvalidMail as error:
        raise InvalidArgument.field("raw", str(error), reason="INVALID_MAIL") from error
    if not mail.automatic and any(
        accepts(address, runtime.settings.mail_domain) for address in (mail.from_address, sender)
    ):
        # Care writing to itself, by way of somebody's forwarding, would never end.
        mail = replace(mail, automatic="comes from an address of care")
    targets = resolve(runtime, recipients)
    if mail.report:
        pass_on(runtime, raw, recipients)
    received = [_take_once(runtime, mail, sender, one) for one in targets]
    return next((one for one in received if one.outcome != "duplicate"), received[0])


def _take_once(runtime: Runtime, mail: InboundMail, sender: str, recipient: Recipient) -> Received:
    if isinstance(recipient, MessageThread) and not mail.automatic:
        recipient = with_contact(runtime, recipient)
    now = runtime.clock.now()
    with runtime.db.transaction() as connection:
        if not store.claim(connection, mail.key, recipient.address, now):
            known = store.case_of(connection, mail.key, recipient.address)
            return Received("duplicate", cases.get(connection, known, EVERYTHING) if known else None)
        received = _take(connection, mail, sender, recipient, now)
        case_id = received.case.id if received.case else None
        store.settle(connection, mail.key, recipient.address, received.outcome, case_id)
        return received


def _take(
    connection: Connection, mail: InboundMail, sender: str, recipient: Recipient, now: datetime
) -> Received:
    if isinstance(recipient, Stopping):
        # Mail programs unsubscribe by themselves, so this holds for automatic mail too.
        return _unsubscribe(connection, recipient.contact_id, recipient.topic, now)
    if mail.automatic:
        return _put_aside(connection, mail, recipient.address, now)
    if isinstance(recipient, CaseThread) and recipient.survey:
        rated = _rate(connection, mail, recipient.case_id, now)
        if rated is not None:
            return rated
    found = _continued(connection, recipient)
    if found is not None and found.state is not CaseState.CLOSED:
        _, changed = say(
            connection, found, MessageKind.INBOUND, mail.text, mail.from_address, mail.message_id, now
        )
        return Received("continued", changed)
    new = NewCase(
        subject=mail.subject or "(no subject)",
        channel=CHANNEL,
        text=mail.text,
        address=mail.from_address or sender.strip("<> "),
        author=mail.from_address,
        external_id=mail.message_id,
    )
    if found is not None:
        # The case is over: the same customer, who proved it, opens a new one.
        new = replace(new, contact_id=found.contact_id, verified=found.verified)
    elif isinstance(recipient, MessageThread):
        new = replace(
            new,
            contact_id=recipient.contact_id,
            verified=recipient.contact_id is not None,
            origin_message=recipient.message_id,
        )
    return Received("opened", open_case(connection, new, now))


def _rate(connection: Connection, mail: InboundMail, case_id: UUID, now: datetime) -> Received | None:
    """Keep the answer to how it was, and the mail in its case, whose state stays; None when it says no number."""
    answer = read_answer(mail.text)
    item = keep_answer(connection, case_id, answer.score, answer.comment, now) if answer else None
    if item is None:
        return None
    message = CaseMessage(
        id=new_id(),
        case_id=case_id,
        kind=MessageKind.INBOUND,
        text=mail.text,
        author=mail.from_address,
        external_id=mail.message_id,
        create_time=now,
    )
    cases.insert_message(connection, message)
    return Received("continued", item)


def _continued(connection: Connection, recipient: CaseThread | MessageThread | Anybody) -> Case | None:
    match recipient:
        case CaseThread(case_id=case_id):
            return cases.get(connection, case_id, EVERYTHING, lock=True)
        case MessageThread(message_id=message_id):
            return cases.answering(connection, message_id)
    return None


def _unsubscribe(connection: Connection, contact: UUID, topic: str, now: datetime) -> Received:
    event = NewEvent(
        type="unsubscribe.requested",
        subject=format_name("contacts", contact),
        contact=contact,
        revision=1,
        occur_time=now,
        data=events_pb2.UnsubscribeRequested(channel=CHANNEL, topic=topic),
    )
    outbox.append(connection, kit.outbox, [event], record_time=now)
    return Received("unsubscribed")


def _put_aside(connection: Connection, mail: InboundMail, recipient: str, now: datetime) -> Received:
    store.keep_automatic(
        connection,
        message_id=mail.message_id,
        recipient=recipient,
        reason=mail.automatic,
        subject=mail.subject,
        text=mail.text,
        now=now,
    )
    return Received("automatic")
