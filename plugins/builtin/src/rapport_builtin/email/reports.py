"""Tell what mail servers report back in terms of our messages: bounces and delays (RFC 3464), complaints (RFC 5965)."""

from __future__ import annotations

from rapport_sdk import DeliveryReport
from rapport_sdk.mail_reports import BadReport, read_report


def parse_report(raw: bytes) -> list[DeliveryReport]:
    """Return what a mail reports about messages of ours; nothing when it is an ordinary mail.

    Raises ValueError for a report that cannot be read, or does not say which message it is about.
    """
    report = read_report(raw)
    if report is None:
        return []
    if not report.message_id:
        raise BadReport("the report does not hold the Message-ID of the mail that it is about")
    return [
        DeliveryReport(report.message_id, item.status, item.permanent, item.reason)
        for item in report.recipients
    ]
