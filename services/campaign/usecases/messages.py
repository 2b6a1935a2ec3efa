"""Single messages, and reading the ledger."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import datetime
from hashlib import sha256
from uuid import UUID

from services.campaign.channels import known_channels
from services.campaign.domain.ids import TRANSACTIONAL, RuleError, check_line, check_topic
from services.campaign.domain.ledger import REQUESTS, Message, NewMessage
from services.campaign.store import ledger
from services.campaign.usecases import tracing
from services.campaign.usecases.checks import refuse
from services.kit.errors import AlreadyExists, InvalidArgument, NotFound
from services.kit.names import format_name, new_id
from services.kit.runtime import Runtime


@dataclass(frozen=True, slots=True, kw_only=True)
class SingleMessage:
    """Describe a message that belongs to no campaign; contact_id None: to an address only; automatic: by a machine."""

    contact_id: UUID | None
    channel: str
    topic: str
    subject: str
    text: str
    reply_to: str
    in_reply_to: str
    address: str
    html: str = ""
    automatic: bool = False

    def digest(self) -> bytes:
        """Return the hash of all that was asked for."""
        parts = [
            str(self.contact_id or ""),
            self.channel,
            self.topic,
            self.subject,
            self.text,
            self.reply_to,
            self.in_reply_to,
            self.address,
        ]
        # The hashes of messages that were planned before there was any of these stay as they are.
        if self.html or self.automatic:
            parts.append(self.html)
        if self.automatic:
            parts.append("automatic")
        return sha256(json.dumps(parts).encode()).digest()


def send_message(runtime: Runtime, given: SingleMessage, request_id: str) -> Message:
    """Plan a message and return it; the same request again returns the first one.

    Raises NotFound for an unknown channel, AlreadyExists (REQUEST_ID_REUSED), InvalidArgument.
    """
    _check(given)
    if given.channel not in known_channels(runtime):
        raise NotFound(f"no plugin offers the channel {given.channel!r}", reason="UNKNOWN_CHANNEL")
    origin = f"{REQUESTS}/{request_id}"
    digest = given.digest()
    planned = NewMessage(
        id=new_id(),
        origin=origin,
        lane=REQUESTS,
        contact_id=given.contact_id,
        channel=given.channel,
        topic=given.topic,
        subject=given.subject,
        content={
            "text": given.text,
            "reply_to": given.reply_to,
            "in_reply_to": given.in_reply_to,
            "address": given.address,
            "html": given.html,
            "automatic": given.automatic,
            **tracing.carried(given.contact_id),
        },
        content_hash=digest,
    )
    with runtime.db.transaction() as connection:
        ledger.plan(connection, [planned], runtime.clock.now())
        found = ledger.find_request(connection, origin)
        assert found is not None, "the row was written, or was there"
        message, known = found
        if known != digest:
            raise AlreadyExists(
                f"request_id: {request_id!r} was used before for another message; take a new one",
                reason="REQUEST_ID_REUSED",
                metadata={"message": format_name("messages", message.id)},
            )
        return message


def get_message(runtime: Runtime, key: UUID) -> Message:
    """Return a message of the ledger; raises NotFound."""
    with runtime.db.read() as connection:
        found = ledger.get(connection, key)
    if found is None:
        raise NotFound.resource(format_name("messages", key))
    return found


def list_messages(
    runtime: Runtime,
    *,
    contact_id: UUID | None,
    origin: str,
    state: str,
    before: UUID | None,
    count: int,
    channel: str = "",
    planned_before: datetime | None = None,
) -> list[Message]:
    """Return the next messages, newest first; planned_before: only those planned before, None for all."""
    with runtime.db.read() as connection:
        return ledger.page(
            connection,
            contact_id=contact_id,
            origin=origin,
            state=state,
            before=before,
            count=count,
            channel=channel,
            planned_before=planned_before,
        )


def _check(given: SingleMessage) -> None:
    for field in ("subject", "reply_to", "in_reply_to", "address"):
        try:
            check_line(getattr(given, field))
        except RuleError as error:
            raise refuse(error, field) from error
    try:
        check_topic(given.topic)
    except RuleError as error:
        raise refuse(error, "topic") from error
    if given.contact_id is None:
        if not given.address:
            raise InvalidArgument.field("address", "is required when no contact is given")
        if given.topic != TRANSACTIONAL:
            raise InvalidArgument.field(
                "topic",
                f"must be {TRANSACTIONAL!r} when no contact is given: there is nobody whose consent could be asked for",
            )
