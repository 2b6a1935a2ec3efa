"""Who a message goes to, asked at this moment, and what its template sees."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from functools import lru_cache
from typing import Any
from uuid import UUID

from rapport.contacts.v1 import contacts_pb2

from services.campaign.domain.ids import TRANSACTIONAL
from services.campaign.domain.links import UNSUBSCRIBE_PATH, unsubscribe_token
from services.campaign.domain.localtime import find_zone
from services.campaign.domain.web_texts import PARAMETER, language_of
from services.kit.names import format_name, parse_name
from services.kit.runtime import Runtime
from services.kit.signing import CONTACT, MESSAGE
from services.kit.wire import from_timestamp

_CONSENT = {
    contacts_pb2.Consent.STATE_GRANTED: "granted",
    contacts_pb2.Consent.STATE_DENIED: "denied",
}
_MOST_AT_ONCE = 1000


def recipients(
    runtime: Runtime, contacts: Sequence[UUID], kind: str, topic: str
) -> dict[UUID, contacts_pb2.Recipient]:
    """Ask contacts for addresses of a kind and consent on a topic; those that do not exist are left out.

    Raises the client's errors.
    """
    found: dict[UUID, contacts_pb2.Recipient] = {}
    for start in range(0, len(contacts), _MOST_AT_ONCE):
        names = {format_name("contacts", key): key for key in contacts[start : start + _MOST_AT_ONCE]}
        request = contacts_pb2.BatchGetRecipientsRequest(contacts=names, channel=kind, topic=topic)
        answer = runtime.clients.contacts.batch_get_recipients(request)
        found.update((names[item.contact], item) for item in answer.recipients if item.contact in names)
    return found


def consent_of(recipient: contacts_pb2.Recipient) -> str:
    """Return the decision in force: granted, denied or ""."""
    return _CONSENT.get(recipient.consent, "")


def template_context(
    runtime: Runtime,
    recipient: contacts_pb2.Recipient,
    *,
    topic: str,
    coupon: str,
    event: Mapping[str, Any] | None,
    message_id: UUID | None = None,
    unsubscribe: tuple[str, str] | None = None,
) -> dict[str, Any]:
    """Return what a template may name: contact, event, coupon, now (in the contact's time zone) and links.

    unsubscribe: what unsubscribe_links gives, if it is known already.
    """
    now = runtime.clock.now()
    if unsubscribe is None:
        key = parse_name(recipient.contact, "contacts") if recipient.contact else None
        unsubscribe = unsubscribe_links(runtime, key, topic, message_id, recipient.language_code)
    context: dict[str, Any] = {
        "contact": {
            "name": recipient.contact,
            "display_name": recipient.display_name,
            "given_name": recipient.given_name,
            "family_name": recipient.family_name,
            "language_code": recipient.language_code,
            "time_zone": recipient.time_zone,
            "region_code": recipient.region_code,
            "locality": recipient.locality,
            "attributes": {name: attribute_value(value) for name, value in recipient.attributes.items()},
        },
        "now": _local(now, recipient.time_zone, runtime.settings.time_zone),
        "links": {
            "unsubscribe": unsubscribe[0] or unsubscribe[1],
            "reply": f"mailto:{reply_address(runtime, message_id)}" if message_id else "",
        },
    }
    # An empty code is missing, so that a template can fall back.
    if coupon:
        context["coupon"] = coupon
    if event is not None:
        context["event"] = {**event, "time": datetime.fromisoformat(event["time"])}
    return context


def attribute_value(value: contacts_pb2.AttributeValue) -> Any:
    """Return the value of an attribute as Python has it."""
    kind = value.WhichOneof("value")
    match kind:
        case None:
            return None
        case "timestamp_value":
            return from_timestamp(value.timestamp_value)
        case "strings_value":
            return list(value.strings_value.values)
    return getattr(value, kind)


def reply_address(runtime: Runtime, message_id: UUID) -> str:
    """Return the address that answers to a message go to."""
    return f"reply+{runtime.signer.sign(MESSAGE, message_id.bytes)}@{runtime.settings.mail_domain}"


def unsubscribe_address(runtime: Runtime, contact: UUID | None, topic: str) -> str:
    """Return the address whose mail means that a contact wants no more messages on a topic; "" where none is needed."""
    if topic == TRANSACTIONAL or contact is None:
        return ""
    token = runtime.signer.sign(CONTACT, contact.bytes)
    # So short because mail servers need not take more than 64 characters before the @ (RFC 5321, 4.5.3.1.1).
    return f"u+{topic}.{token}@{runtime.settings.mail_domain}"


def unsubscribe_links(
    runtime: Runtime, contact: UUID | None, topic: str, message_id: UUID | None, language_code: str = ""
) -> tuple[str, str]:
    """Return the web link and the mailto link by which a contact wants no more messages on a topic; empty for none.

    language_code: of the contact; the web link names it where its page speaks it.
    """
    address = unsubscribe_address(runtime, contact, topic)
    if not address or contact is None:
        return "", ""
    web = ""
    if base := runtime.settings.public_web_url:
        web = f"{base}{UNSUBSCRIBE_PATH}{unsubscribe_token(runtime.signer, contact, topic, message_id)}"
        if language := language_of(language_code):
            web = f"{web}?{PARAMETER}={language}"
    return web, f"mailto:{address}"


@lru_cache(maxsize=1024)
def _local(now: datetime, zone: str, home: str) -> datetime:
    """Return a moment in a time zone, else at home."""
    return now.astimezone(find_zone(zone) or find_zone(home) or now.tzinfo)
