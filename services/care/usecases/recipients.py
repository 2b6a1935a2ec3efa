"""To whom a mail goes: what the envelope recipients stand for once their tokens are checked."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

from rapport_client.errors import NotFound as ClientNotFound
from rapport_client.errors import RapportError as ClientError

from services.care.domain.addresses import Reply, Unsubscribe, parse_recipient
from services.kit.errors import InvalidArgument, Unavailable
from services.kit.names import format_name, parse_name
from services.kit.runtime import Runtime
from services.kit.signing import CASE, CONTACT, MESSAGE, SURVEY


@dataclass(frozen=True, slots=True)
class Stopping:
    """Stand for a contact that wants no more of a topic."""

    address: str
    contact_id: UUID
    topic: str


@dataclass(frozen=True, slots=True)
class CaseThread:
    """Stand for a case that goes on. survey: the mail answers the question how it was."""

    address: str
    case_id: UUID
    survey: bool = False


@dataclass(frozen=True, slots=True)
class MessageThread:
    """Stand for a message of campaign that is answered. contact_id: whom it went to; None when nobody knows."""

    address: str
    message_id: UUID
    contact_id: UUID | None = None


@dataclass(frozen=True, slots=True)
class Anybody:
    """Stand for the addresses that prove nothing, forged ones among them; address is empty."""

    address: str = ""


Recipient = CaseThread | MessageThread | Anybody | Stopping


def resolve(runtime: Runtime, recipients: Sequence[str]) -> list[Recipient]:
    """Return what a mail is to do, each thing once: threads first, then a new case, then unsubscribing.

    A mail that continues a thread opens no case beside it, though it went to an open address too. Raises
    InvalidArgument (UNKNOWN_RECIPIENT) when care takes mail for none of the recipients.
    """
    found = [one for one in (_one(runtime, address) for address in recipients) if one is not None]
    if not found:
        raise InvalidArgument.field(
            "recipients",
            f"none of them is an address of care at {runtime.settings.mail_domain}",
            reason="UNKNOWN_RECIPIENT",
        )
    unique = list(dict.fromkeys(found))
    threads: list[Recipient] = [one for one in unique if isinstance(one, CaseThread | MessageThread)]
    others: list[Recipient] = [one for one in unique if isinstance(one, Anybody)]
    return [*(threads or others), *(one for one in unique if isinstance(one, Stopping))]


def with_contact(runtime: Runtime, thread: MessageThread) -> MessageThread | Anybody:
    """Ask campaign whom the message went to; a message that its ledger does not hold (any more) proves nothing.

    Raises Unavailable (CAMPAIGN_UNAVAILABLE).
    """
    name = format_name("messages", thread.message_id)
    try:
        contact = runtime.clients.campaign.get_message(name=name).message.contact
    except ClientNotFound:
        return Anybody()
    except ClientError as error:
        raise Unavailable(
            f"campaign does not say whom {name} went to: {error.message}; try again later",
            reason="CAMPAIGN_UNAVAILABLE",
        ) from error
    key = parse_name(contact, "contacts", "contact") if contact else None
    return MessageThread(thread.address, thread.message_id, key)


def _one(runtime: Runtime, address: str) -> Recipient | None:
    target = parse_recipient(address, runtime.settings.mail_domain)
    if target is None:
        return None
    plain = address.strip().strip("<>").lower()
    match target:
        case Unsubscribe(topic=topic, token=token):
            kind, key = _verify(runtime, token)
            return Stopping(plain, UUID(bytes=key), topic) if kind == CONTACT else Anybody()
        case Reply(token=token):
            kind, key = _verify(runtime, token)
            if kind in (CASE, SURVEY):
                return CaseThread(plain, UUID(bytes=key), survey=kind == SURVEY)
            return MessageThread(plain, UUID(bytes=key)) if kind == MESSAGE else Anybody()
    return Anybody()


def _verify(runtime: Runtime, token: str) -> tuple[str, bytes]:
    try:
        return runtime.signer.verify(token)
    except InvalidArgument:
        # A forged or broken token proves nothing; the mail is still somebody's.
        return "", b""
