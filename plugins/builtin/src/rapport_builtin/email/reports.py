"""Read what mail servers report back: bounces and delays (RFC 3464), complaints (RFC 5965)."""

from __future__ import annotations

import re
from email import message_from_bytes, policy
from email.message import EmailMessage, Message
from typing import Any

from rapport_sdk import DeliveryReport, DeliveryStatus

_MESSAGE_ID = re.compile(r"<([^<>@\s]+)@[^<>@\s]+>")
_ACTIONS = {
    "failed": DeliveryStatus.BOUNCED,
    "delayed": DeliveryStatus.DELAYED,
    "delivered": DeliveryStatus.DELIVERED,
}


def parse_report(raw: bytes) -> list[DeliveryReport]:
    """Return what a mail reports about messages of ours; nothing when it is an ordinary mail.

    Raises ValueError for a report that does not say which message it is about.
    """
    mail: Any = message_from_bytes(raw, policy=policy.default)
    if mail.get_content_type() != "multipart/report":
        return []
    kind = str(mail.get_param("report-type", "")).lower()
    if kind not in ("delivery-status", "feedback-report"):
        return []
    original = _original_id(mail)
    if kind == "feedback-report":
        return [DeliveryReport(original, DeliveryStatus.COMPLAINED, permanent=True, reason=_feedback(mail))]
    reports = []
    for part in mail.walk():
        if part.get_content_type() == "message/delivery-status":
            groups: Any = part.get_payload()
            for group in groups if isinstance(groups, list) else []:
                if report := _recipient_report(original, group):
                    reports.append(report)
    return reports


def _recipient_report(original: str, group: Message[str, str]) -> DeliveryReport | None:
    status = _ACTIONS.get(str(group.get("Action", "")).strip().lower())
    if status is None:
        return None
    code = str(group.get("Status", "")).strip()
    detail = " ".join(str(group.get("Diagnostic-Code", "")).split())[:300]
    permanent = status is DeliveryStatus.BOUNCED and code.startswith("5")
    return DeliveryReport(original, status, permanent, " ".join(filter(None, (code, detail))))


def _original_id(mail: EmailMessage) -> str:
    for part in mail.walk():
        kind = part.get_content_type()
        text = ""
        if kind == "message/rfc822":
            inner: Any = part.get_payload()
            if isinstance(inner, list) and inner:
                text = str(inner[0].get("Message-ID", ""))
        elif kind == "text/rfc822-headers":
            found = re.search(r"(?im)^message-id:(.*(?:\r?\n[ \t].*)*)", str(part.get_content()))
            text = found[1] if found else ""
        if match := _MESSAGE_ID.search(text):
            return match[1]
    raise ValueError("the report does not hold the Message-ID of the mail that it is about")


def _feedback(mail: EmailMessage) -> str:
    for part in mail.walk():
        if part.get_content_type() == "message/feedback-report":
            content: Any = part.get_payload()
            if isinstance(content, list) and content:  # the library parses message/* parts as messages
                return str(content[0].get("Feedback-Type", "")).strip()
            found = re.search(r"(?im)^feedback-type:\s*(\S+)", str(content))
            return found[1] if found else ""
    return ""
