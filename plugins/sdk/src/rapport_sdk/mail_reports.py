"""Read the mails by which servers and providers report on mail of ours: RFC 3464 (deliveries), RFC 5965 (complaints).

For channels that send mail. It rests on the standard library's parser and trusts nothing: what is too big, too deep
or without sense is a BadReport, whatever its bytes.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from email import message_from_bytes
from email.message import Message
from email.policy import Compat32
from typing import Any

from rapport_sdk.channels import DeliveryStatus

MAX_BYTES = 6_000_000
MAX_PARTS = 100
MAX_MULTIPARTS = 20
MAX_WORK = 5_000_000
MAX_HEADER = 2_000
MAX_RECIPIENTS = 50

_MESSAGE_ID = re.compile(r"<([^<>@\s]{1,200})@[^<>@\s]{1,255}>")
_ADDRESS = re.compile(r"[^\s<>@\"(),:;\[\]\\]{1,64}@[A-Za-z0-9.-]{1,255}")
_CONTROLS = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]")
_MULTIPART = re.compile(rb"^content-type:\s*multipart/", re.IGNORECASE | re.MULTILINE)
# Not a part of an address of IPv4.
_STATUS = re.compile(r"(?<![\d.])([245])\.(\d{1,3})\.(\d{1,3})(?!\.?\d)")
_REPLY = re.compile(r"(?<![\d.])([245])\d\d(?![\d.])")
_ACTIONS = {
    "failed": DeliveryStatus.BOUNCED,
    "delayed": DeliveryStatus.DELAYED,
    "delivered": DeliveryStatus.DELIVERED,
}
# Headers of the returned mail by which its sender can know it again.
_OURS = ("Return-Path", "Reply-To", "List-Unsubscribe", "Errors-To", "Sender", "From")
# Codes of RFC 3463 that say 5 and nothing about the address: the sender's address, a full box, the server itself, its
# policy and its taste.
_NOT_THE_ADDRESS = re.compile(r"5\.(1\.[78]|2\.[23]|[3-7]\.\d+)\Z")


class BadReport(ValueError):
    """Say why a mail that claims to be a report cannot be read as one."""


@dataclass(frozen=True, slots=True)
class RecipientReport:
    """Hold what a report says of one recipient.

    permanent: the address itself does not work, so that it will not next time either. address: of the recipient, ""
    when the report does not say.
    """

    status: DeliveryStatus
    permanent: bool
    reason: str
    address: str = ""


@dataclass(frozen=True, slots=True)
class MailReport:
    """Hold what a mail reports.

    recipients: empty when it reports nothing that matters. message_id: what stands before the @ in the Message-ID
    of the mail it is about, "" when it is not returned. addresses: those in the headers of that mail by which its
    sender may know it again, and in the report's own fields.
    """

    recipients: tuple[RecipientReport, ...]
    message_id: str = ""
    addresses: tuple[str, ...] = ()


class _Bounded(Compat32):
    def header_source_parse(self, sourcelines: list[str]) -> tuple[str, str]:
        name, value = super().header_source_parse(sourcelines)
        return name, value[:MAX_HEADER]

    def header_fetch_parse(self, name: str, value: str) -> str:
        return _CONTROLS.sub("", value.encode("ascii", "replace").decode())


_POLICY = _Bounded()


def read_report(raw: bytes) -> MailReport | None:
    """Return what a mail reports, or None when it is an ordinary mail; raises BadReport."""
    if len(raw) > MAX_BYTES:
        raise BadReport(f"the report has {len(raw):,} bytes; at most {MAX_BYTES:,} are read")
    multiparts = len(_MULTIPART.findall(raw))
    # The parser compares each line with each open boundary.
    if multiparts > MAX_MULTIPARTS or multiparts * raw.count(b"\n") > MAX_WORK:
        raise BadReport("the report has too many nested parts")
    try:
        mail = message_from_bytes(raw, policy=_POLICY)
        if mail.get_content_type() != "multipart/report":
            return None
        kind = str(mail.get_param("report-type", "")).lower()
        parts = list(_parts(mail))
        if kind == "feedback-report":
            return _complaint(parts)
        if kind == "delivery-status":
            return _delivery(parts)
    except BadReport:
        raise
    except Exception as error:  # the parser raises many kinds on hostile input
        raise BadReport(f"the report cannot be read: {type(error).__name__}") from error
    return None


def _parts(mail: Message) -> Iterator[Message]:
    """Yield the parts of a report, not those of the mail within it."""
    payload = mail.get_payload()
    if not isinstance(payload, list):
        raise BadReport("the report has no parts")
    if len(payload) > MAX_PARTS:
        raise BadReport(f"the report has {len(payload):,} parts; at most {MAX_PARTS} are read")
    for part in payload:
        if isinstance(part, Message):
            yield part


def _delivery(parts: list[Message]) -> MailReport:
    message_id, addresses = _original(parts)
    found: list[RecipientReport] = []
    said = False
    for part in parts:
        if part.get_content_type() not in ("message/delivery-status", "message/global-delivery-status"):
            continue
        groups: Any = part.get_payload()
        for group in groups[: MAX_RECIPIENTS + 1] if isinstance(groups, list) else ():
            said = said or "Action" in group
            if report := _recipient(group):
                found.append(report)
    if not said:
        raise BadReport("the report says of no recipient what was done (Action)")
    return MailReport(tuple(found), message_id, addresses)


def _recipient(group: Message) -> RecipientReport | None:
    status = _ACTIONS.get(_field(group, "Action").lower())
    if status is None:
        return None
    code, detail = _field(group, "Status"), _field(group, "Diagnostic-Code")
    address = _typed(_field(group, "Original-Recipient")) or _typed(_field(group, "Final-Recipient"))
    permanent = status is DeliveryStatus.BOUNCED and _is_permanent(code, detail)
    return RecipientReport(status, permanent, " ".join(filter(None, (code[:20], detail[:300]))), address)


def blames_address(reply: str) -> bool:
    """Say whether a server's refusal of a recipient says that there is no such address, by its status code (RFC 3463).

    reply: the text behind the three digits, such as "5.1.1 no such user". Without a status code the answer is no: the
    three digits alone say as much of a server that does not relay for us.
    """
    found = _STATUS.match(reply)
    return (
        found is not None
        and found[1] == "5"
        and found.group() != "5.0.0"
        and not _NOT_THE_ADDRESS.match(found.group())
    )


def _is_permanent(code: str, detail: str) -> bool:
    """Say whether the address is to blame, by the status code (RFC 3463), else by the server's answer (RFC 5321)."""
    found = _STATUS.search(code)
    # Many servers say 5.0.0 and mean what follows.
    if found is None or found.group() == "5.0.0":
        found = _STATUS.search(detail) or found
    if found is not None:
        return found[1] == "5" and not _NOT_THE_ADDRESS.match(found.group())
    reply = _REPLY.search(detail)
    return reply is not None and reply[1] == "5"


def _complaint(parts: list[Message]) -> MailReport:
    for part in parts:
        if part.get_content_type() != "message/feedback-report":
            continue
        fields = _feedback(part)
        kind = _field(fields, "Feedback-Type").lower()
        if not kind:
            continue
        message_id, addresses = _original(parts)
        own = [_field(fields, name) for name in ("Original-Mail-From", "Removal-Recipient")]
        addresses += tuple(match.group() for text in own for match in _ADDRESS.finditer(text))
        # "not-spam" takes a complaint back, the others are of no recipient (RFC 5965, 7.3; RFC 6650).
        if kind not in ("abuse", "fraud", "virus", "other"):
            return MailReport((), message_id, addresses)
        address = _typed(_field(fields, "Original-Rcpt-To")) or _field(fields, "Original-Rcpt-To").strip(
            "<> "
        )
        report = RecipientReport(DeliveryStatus.COMPLAINED, True, kind, address if "@" in address else "")
        return MailReport((report,), message_id, addresses)
    raise BadReport("the report does not say what kind it is (Feedback-Type)")


def _feedback(part: Message) -> Message:
    content: Any = part.get_payload()
    # The parser takes message/* parts for messages, unless they are encoded.
    if isinstance(content, list) and content and isinstance(content[0], Message):
        return content[0]
    raw = part.get_payload(decode=True)
    return message_from_bytes(raw if isinstance(raw, bytes) else b"", policy=_POLICY)


def _original(parts: list[Message]) -> tuple[str, tuple[str, ...]]:
    """Return the id of the mail that the report is about, and the addresses in its headers."""
    for part in parts:
        kind = part.get_content_type()
        inner: Message | None = None
        if kind in ("message/rfc822", "message/global", "message/rfc822-headers", "message/global-headers"):
            payload: Any = part.get_payload()
            if isinstance(payload, list) and payload and isinstance(payload[0], Message):
                inner = payload[0]
        elif kind == "text/rfc822-headers":
            raw = part.get_payload(decode=True)
            inner = message_from_bytes(raw if isinstance(raw, bytes) else b"", policy=_POLICY)
        if inner is None:
            continue
        found = _MESSAGE_ID.search(_field(inner, "Message-ID"))
        addresses = tuple(match.group() for name in _OURS for match in _ADDRESS.finditer(_field(inner, name)))
        return found[1] if found else "", addresses
    return "", ()


def _field(message: Message, name: str) -> str:
    return " ".join(str(message.get(name) or "").split())


def _typed(text: str) -> str:
    """Return the address of a field like "rfc822; ann@example.org"."""
    kind, semicolon, rest = text.partition(";")
    address = rest.strip().strip("<>")
    known = kind.strip().lower() in ("rfc822", "utf-8")
    return address if semicolon and known and "@" in address and len(address) <= 320 else ""
