"""Send answers and the question how it was, through campaign's ledger, once each."""

from __future__ import annotations

import re
from collections.abc import Iterable
from uuid import UUID

from rapport.care.v1 import events_pb2
from rapport.events.v1.events_pb2 import Event
from rapport_client.errors import RapportError as ClientError

from services.care.domain.cases import ACTIVE, Case
from services.care.store import cases, setup
from services.kit.events import unpack
from services.kit.names import format_name, parse_name
from services.kit.runtime import Runtime
from services.kit.signing import CASE, SURVEY

DEFAULT_CHANNEL = "email.smtp"
TOPIC = "transactional"
MAX_SUBJECT = 900
_REPLY_MARKS = re.compile(r"^(\s*re\s*:)+\s*", re.IGNORECASE)


def send_replies(runtime: Runtime, events: Iterable[Event]) -> None:
    """Hand the answers that `case.reply_requested` events tell of to campaign.

    Campaign knows each by its request id, so that doing it again sends nothing twice.
    """
    for event in events:
        payload = unpack(event)
        if isinstance(payload, events_pb2.ReplyRequested):
            _send_reply(
                runtime, parse_name(payload.message, "caseMessages"), parse_name(payload.case, "cases")
            )


def _send_reply(runtime: Runtime, message_id: UUID, case_id: UUID) -> None:
    with runtime.db.read() as connection:
        message, item = cases.get_message(connection, message_id), cases.get(connection, case_id)
        if message is None or item is None:
            return
        answered = cases.answered_id(connection, message)
    subject = f"Re: {_REPLY_MARKS.sub('', item.subject)}"
    _send(runtime, item, f"care-reply-{message_id}", subject, message.text, answered)


def ask_how_it_was(runtime: Runtime, events: Iterable[Event]) -> None:
    """Ask the customers of cases that `case.resolved` events tell of, once per case.

    Not those whose case has been opened again meanwhile: they are asked after the next solution.
    """
    for event in events:
        payload = unpack(event)
        if not isinstance(payload, events_pb2.CaseChanged):
            continue
        key = parse_name(payload.case, "cases")
        with runtime.db.read() as connection:
            item = cases.get(connection, key)
        if item is None or item.state in ACTIVE or (item.contact_id is None and not item.address):
            continue
        token = runtime.signer.sign(SURVEY, key.bytes)
        text = (
            f"Your case #{item.number} “{_one_line(item.subject)}” is solved.\n\n"
            f"How was it, from 1 (bad) to 5 (good)? Your survey code: {token}\n\n"
            "If it is not solved, just answer this mail.\n"
        )
        _send(runtime, item, f"care-survey-{key}", "How was it?", text, "")


def _send(runtime: Runtime, item: Case, request_id: str, subject: str, text: str, answered: str) -> None:
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
            reply_to=f"reply+{runtime.signer.sign(CASE, item.id.bytes)}@{runtime.settings.mail_domain}",
            in_reply_to=answered,
            request_id=request_id,
        )
    except ClientError as error:
        # Campaign has it since an attempt whose answer was lost; only details, such as the queue's channel, differ now.
        if error.reason != "REQUEST_ID_REUSED":
            raise


def _one_line(text: str) -> str:
    return " ".join(text.split())
