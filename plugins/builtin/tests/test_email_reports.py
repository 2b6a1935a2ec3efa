"""Bounces and complaints, as mail servers write them."""

from __future__ import annotations

import pytest
from rapport_builtin.email.reports import parse_report
from rapport_sdk import DeliveryReport, DeliveryStatus

BOUNCE = """\
From: MAILER-DAEMON@mx.test
To: bounces@test.test
Subject: Undelivered Mail Returned to Sender
MIME-Version: 1.0
Content-Type: multipart/report; report-type={kind}; boundary="B"

--B
Content-Type: text/plain

I could not deliver your message.

--B
{status}
--B
{original}
--B--
"""
STATUS = """\
Content-Type: message/delivery-status

Reporting-MTA: dns; mx.test
Arrival-Date: Thu, 1 Jan 2026 00:00:00 +0000

Final-Recipient: rfc822; ann@test.test
Action: {action}
Status: {code}
Diagnostic-Code: smtp; 550 5.1.1 no such
 user here
"""
WHOLE = """\
Content-Type: message/rfc822

From: shop@test.test
Message-ID: <m-17@test.test>
Subject: News

Hello
"""
HEADERS = """\
Content-Type: text/rfc822-headers

From: shop@test.test
Message-ID:
 <m-17@test.test>
"""


def report(action: str, code: str, original: str = WHOLE) -> list[DeliveryReport]:
    text = BOUNCE.format(
        kind="delivery-status", status=STATUS.format(action=action, code=code), original=original
    )
    return parse_report(text.encode())


@pytest.mark.parametrize("original", [WHOLE, HEADERS])
@pytest.mark.parametrize(
    ("action", "code", "status", "permanent"),
    [
        ("failed", "5.1.1", DeliveryStatus.BOUNCED, True),
        ("failed", "4.4.7", DeliveryStatus.BOUNCED, False),
        ("delayed", "4.4.1", DeliveryStatus.DELAYED, False),
        ("delivered", "2.0.0", DeliveryStatus.DELIVERED, False),
    ],
)
def test_delivery_reports(
    action: str, code: str, status: DeliveryStatus, permanent: bool, original: str
) -> None:
    reason = f"{code} smtp; 550 5.1.1 no such user here"
    assert report(action, code, original) == [DeliveryReport("m-17", status, permanent, reason)]


def test_complaint() -> None:
    feedback = "Content-Type: message/feedback-report\n\nFeedback-Type: abuse\nVersion: 1\n"
    text = BOUNCE.format(kind="feedback-report", status=feedback, original=WHOLE)
    expected = DeliveryReport("m-17", DeliveryStatus.COMPLAINED, permanent=True, reason="abuse")
    assert parse_report(text.encode()) == [expected]


def test_relayed_says_nothing_about_delivery() -> None:
    assert report("relayed", "2.0.0") == []


@pytest.mark.parametrize(
    "text", ["", "Subject: hi\n\nHello", "Content-Type: multipart/mixed; boundary=B\n\n--B--"]
)
def test_ordinary_mail_is_no_report(text: str) -> None:
    assert parse_report(text.encode()) == []


def test_a_report_about_nothing_is_refused() -> None:
    with pytest.raises(ValueError, match="Message-ID"):
        report("failed", "5.1.1", "Content-Type: text/plain\n\nsorry\n")
