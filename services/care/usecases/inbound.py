"""Take in a mail: continue what its signed address names, or open a case."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Literal
from uuid import UUID

from rapport.care.v1 import events_pb2
from rapport_client.errors import NotFound as ClientNotFound
from rapport_client.errors import RapportError as ClientError
from sqlalchemy import Connection

from services.care.domain.addresses import NewCase as OpenToAll
from services.care.domain.addresses import Reply, Target, Unsubscribe, parse_recipient
from services.care.domain.cases import Case, CaseState, MessageKind
from services.care.domain.mail import InboundMail, InvalidMail, read_mail
from services.care.models import kit
from services.care.store import cases
from services.care.store import mail as store
from services.care.usecases.cases import say
from services.care.usecases.opening import NewCase, open_case
from services.kit import outbox
from services.kit.errors import InvalidArgument, Unavailable
from services.kit.names import format_name, parse_name
from services.kit.outbox import NewEvent
from services.kit.runtime import Runtime
from services.kit.signing import CASE, CONTACT, MESSAGE

Outcome = Literal["opened", "continued", "duplicate", "automatic", "unsubscribed"]
CHANNEL = "email"


@dataclass(frozen=True, slots=True)
class Received:
    """Hold what became of a mail; case is None when it belongs to none."""

    outcome: Outcome
    case: Case | None = None


@dataclass(frozen=True, slots=True)
class _Thread:
    """Hold what a signed address names: a case, or a message of campaign with its recipient."""

    case_id: UUID | None = None
    message_id: UUID | None = None
    contact_id: UUID | None = None


def accepts(address: str, domain: str) -> bool:
    """Say whether care takes mail for an address."""
    return parse_recipient(address, domain) is not None


def receive_mail(runtime: Runtime, raw: bytes, sender: str, recipients: Sequence[str]) -> Received:
    """Take in a mail once, whatever becomes of it; all or nothing.

    From and Subject decide nothing: only a signed address continues a case or names a contact. Raises InvalidArgument
    (INVALID_MAIL, UNKNOWN_RECIPIENT); Unavailable when campaign, which knows the message answered, does not answer.
    """
    try:
        mail = read_mail(raw, sender)
    except InvalidMail as error:
        raise InvalidArgument.field("raw", str(error), reason="INVALID_MAIL") from error
    recipient, target = _choose(recipients, runtime.settings.mail_domain)
    unsubscribe = _unsubscribing(runtime, target)
    thread = _thread(runtime, target) if unsubscribe is None and not mail.automatic else None
    now = runtime.clock.now()
    with runtime.db.transaction() as connection:
        if not store.claim(connection, mail.message_id, recipient, now):
            known = store.case_of(connection, mail.message_id, recipient)
            return Received("duplicate", cases.get(connection, known) if known else None)
        if unsubscribe is not None and isinstance(target, Unsubscribe):
            received = _unsubscribe(connection, unsubscribe, target.topic, now)
        elif mail.automatic:
            received = _put_aside(connection, mail, recipient, now)
        else:
            received = _take(connection, mail, thread, now)
        case_id = received.case.id if received.case else None
        store.settle(connection, mail.message_id, recipient, received.outcome, case_id)
        return received


def _choose(recipients: Sequence[str], domain: str) -> tuple[str, Target]:
    """Return the recipient that says most: a signed address before one that is open to all."""
    found = [(address, target) for address in recipients if (target := parse_recipient(address, domain))]
    if not found:
        raise InvalidArgument.field(
            "recipients", f"none of them is an address of care at {domain}", reason="UNKNOWN_RECIPIENT"
        )
    address, target = min(found, key=lambda item: isinstance(item[1], OpenToAll))
    return address.strip().strip("<>").lower(), target


def _unsubscribing(runtime: Runtime, target: Target) -> UUID | None:
    if not isinstance(target, Unsubscribe):
        return None
    kind, key = _verify(runtime, target.token)
    return UUID(bytes=key) if kind == CONTACT else None


def _thread(runtime: Runtime, target: Target) -> _Thread | None:
    if not isinstance(target, Reply):
        return None
    kind, key = _verify(runtime, target.token)
    if kind == CASE:
        return _Thread(case_id=UUID(bytes=key))
    if kind != MESSAGE:
        return None
    message = UUID(bytes=key)
    try:
        answer = runtime.clients.campaign.get_message(name=format_name("messages", message))
    except ClientNotFound:
        return None
    except ClientError as error:
        raise Unavailable(
            f"campaign does not say whom {format_name('messages', message)} went to: {error.message}; try again later",
            reason="CAMPAIGN_UNAVAILABLE",
        ) from error
    contact = answer.message.contact
    return _Thread(message_id=message, contact_id=parse_name(contact, "contacts") if contact else None)


def _verify(runtime: Runtime, token: str) -> tuple[str, bytes]:
    try:
        return runtime.signer.verify(token)
    except InvalidArgument:
        # A forged or broken token proves nothing; the mail is still somebody's.
        return "", b""


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


def _take(connection: Connection, mail: InboundMail, thread: _Thread | None, now: datetime) -> Received:
    found = _continued(connection, thread)
    if found is not None and found.state is not CaseState.CLOSED:
        _, changed = say(
            connection, found, MessageKind.INBOUND, mail.text, mail.from_address, mail.message_id, now
        )
        return Received("continued", changed)
    new = NewCase(
        subject=mail.subject or "(no subject)",
        channel=CHANNEL,
        text=mail.text,
        address=mail.from_address,
        author=mail.from_address,
        external_id=mail.message_id,
    )
    if found is not None:
        # The case is over: the same customer, who proved it, opens a new one.
        new = replace(new, contact_id=found.contact_id, verified=found.verified)
    elif thread is not None and thread.message_id is not None:
        new = replace(
            new,
            contact_id=thread.contact_id,
            verified=thread.contact_id is not None,
            origin_message=thread.message_id,
        )
    return Received("opened", open_case(connection, new, now))


def _continued(connection: Connection, thread: _Thread | None) -> Case | None:
    if thread is None:
        return None
    if thread.case_id is not None:
        return cases.get(connection, thread.case_id, lock=True)
    if thread.message_id is not None:
        return cases.answering(connection, thread.message_id)
    return None
