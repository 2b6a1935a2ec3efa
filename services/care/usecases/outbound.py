"""Send answers and the question how it was, through campaign's ledger, once each."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC
from uuid import UUID

from rapport.care.v1 import events_pb2
from rapport.events.v1.events_pb2 import Event
from rapport_client.errors import RapportError as ClientError
from sqlalchemy import Connection

from services.care.domain.cases import ACTIVE, Case, CaseMessage, CaseState, MessageKind, after_refusal
from services.care.models import kit
from services.care.store import cases, setup
from services.care.usecases.events import case_event
from services.kit import outbox
from services.kit.access.scope import EVERYTHING
from services.kit.events import unpack
from services.kit.names import format_name, new_id, parse_name
from services.kit.runtime import Runtime
from services.kit.signing import CASE, SURVEY
from services.kit.transient import is_transient

DEFAULT_CHANNEL = "email.smtp"
TOPIC = "transactional"
MAX_SUBJECT = 900
MAX_REASON = 1_000
_REPLY_MARKS = re.compile(r"^(\s*re\s*:)+\s*", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class _Refusal:
    """Hold why campaign will never take something. reopen: whether the case is to be seen to again."""

    case_id: UUID
    note: str
    reopen: bool


def send_replies(runtime: Runtime, connection: Connection, events: Iterable[Event]) -> None:
    """Hand the answers that `case.reply_requested` events tell of to campaign.

    Campaign knows each by its request id, so that doing it again sends nothing twice. What it refuses for good becomes
    a note in the case, which is open again, in the caller's transaction; raises what may pass.
    """
    refusals = []
    for event in events:
        payload = unpack(event)
        if isinstance(payload, events_pb2.ReplyRequested):
            refusals += _send_reply(
                runtime, parse_name(payload.message, "caseMessages"), parse_name(payload.case, "cases")
            )
    _tell(runtime, connection, refusals)


def _send_reply(runtime: Runtime, message_id: UUID, case_id: UUID) -> list[_Refusal]:
    with runtime.db.read() as connection:
        message, item = cases.get_message(connection, message_id), cases.get(connection, case_id, EVERYTHING)
        if message is None or item is None:
            return []
        answered = cases.answered_id(connection, message)
    subject = f"Re: {_REPLY_MARKS.sub('', item.subject)}"
    why = _send(runtime, item, CASE, f"care-reply-{message_id}", subject, message.text, answered)
    time = message.create_time.astimezone(UTC)
    note = (
        f"The answer of {time:%Y-%m-%d %H:%M} UTC could not be sent: {why}. Put that right and answer again."
    )
    return [_Refusal(case_id, note, reopen=True)] if why else []


def ask_how_it_was(runtime: Runtime, connection: Connection, events: Iterable[Event]) -> None:
    """Ask the customers of cases that `case.resolved` events tell of, once per case.

    Not those whose case has been opened again meanwhile: they are asked after the next solution. What campaign refuses
    for good becomes a note in the case, in the caller's transaction; raises what may pass.
    """
    refusals = []
    for event in events:
        payload = unpack(event)
        if not isinstance(payload, events_pb2.CaseChanged):
            continue
        key = parse_name(payload.case, "cases")
        item = cases.get(connection, key, EVERYTHING)
        if item is None or item.state in ACTIVE or (item.contact_id is None and not item.address):
            continue
        token = runtime.signer.sign(SURVEY, key.bytes)
        text = (
            f"Your case #{item.number} “{_one_line(item.subject)}” is solved.\n\n"
            "How was it? Please answer this mail with a number from 1 to 5: 1 is bad, 5 is good.\n"
            f"Your survey code: {token}\n\n"
            "If it is not solved, answer in words.\n"
        )
        why = _send(runtime, item, SURVEY, f"care-survey-{key}", "How was it?", text, "")
        if why:
            note = f"The customer could not be asked how it was: {why}. The case stays as it is."
            refusals.append(_Refusal(key, note, reopen=False))
    _tell(runtime, connection, refusals)


def _send(
    runtime: Runtime, item: Case, kind: str, request_id: str, subject: str, text: str, answered: str
) -> str:
    """Hand something to campaign; return why it refuses it for good, or nothing. kind: of the token in Reply-To."""
    with runtime.db.read() as connection:
        queue = setup.get_queue(connection, item.queue)
    try:
        runtime.clients.campaign.send_message(
            contact=format_name("contacts", item.contact_id) if item.contact_id else "",
            # A contact is written to at its own address; a stranger at the one that was given.
            address="" if item.contact_id else item.address,
            channel=(queue.reply_channel if queue else "") or DEFAULT_CHANNEL,
            topic=TOPIC,
            subject=f"{_one_line(subject)[:MAX_SUBJECT]} [#{item.number}]",
            text=text,
            reply_to=f"reply+{runtime.signer.sign(kind, item.id.bytes)}@{runtime.settings.mail_domain}",
            in_reply_to=answered,
            # A program that answers by itself must not answer the question how it was (RFC 3834).
            automatic=kind == SURVEY,
            request_id=request_id,
        )
    except ClientError as error:
        # Campaign has it since an attempt whose answer was lost; only details, such as the queue's channel, differ now.
        if error.reason == "REQUEST_ID_REUSED":
            return ""
        if is_transient(error):
            raise
        return f"{_one_line(error.message)[:MAX_REASON].rstrip(' .')} ({error.reason})"
    return ""


def _tell(runtime: Runtime, connection: Connection, refusals: Sequence[_Refusal]) -> None:
    """Write why things were not sent into their cases; a case that has no agent gets one by the timer."""
    now = runtime.clock.now()
    # Nothing is written before all is sent, so that no case is locked meanwhile; and always in the same order.
    for refusal in sorted(refusals, key=lambda one: one.case_id):
        item = cases.get(connection, refusal.case_id, EVERYTHING, lock=True)
        if item is None:
            continue
        message = CaseMessage(
            id=new_id(),
            case_id=item.id,
            kind=MessageKind.NOTE,
            text=refusal.note,
            author="",
            external_id="",
            create_time=now,
        )
        cases.insert_message(connection, message)
        state = after_refusal(item.state) if refusal.reopen else item.state
        changed = cases.update(connection, item, now, state=state)
        if item.state is CaseState.RESOLVED and state is CaseState.OPEN:
            outbox.append(
                connection, kit.outbox, [case_event("case.reopened", changed, now)], record_time=now
            )


def _one_line(text: str) -> str:
    return " ".join(text.split())
