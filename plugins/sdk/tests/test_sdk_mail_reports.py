"""Reports of mail servers as they come, and as nobody should write them."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rapport_sdk import DeliveryStatus
from rapport_sdk.mail_reports import BadReport, MailReport, blames_address, read_report

DSN = """\
From: MAILER-DAEMON@mx.test
Content-Type: multipart/report; report-type=delivery-status; boundary="B"

--B
Content-Type: text/plain

Sorry.

--B
Content-Type: message/delivery-status

Reporting-MTA: dns; mx.test

{fields}

--B
Content-Type: {kind}

Return-Path: <reply+token@shop.test>
Reply-To: reply+token@shop.test
Message-ID: <m-17@shop.test>
Subject: News

--B--
"""
ARF = """\
From: fbl@provider.test
Content-Type: multipart/report; report-type=feedback-report; boundary="B"

--B
Content-Type: text/plain

A complaint.

--B
Content-Type: message/feedback-report

Feedback-Type: {kind}
Version: 1
Original-Mail-From: <reply+token@shop.test>
Original-Rcpt-To: <ann@mail.test>

--B
Content-Type: message/rfc822

Message-ID: <m-17@shop.test>
List-Unsubscribe: <mailto:u+news.token@shop.test>

Hello
--B--
"""


def dsn(*fields: str, kind: str = "message/rfc822") -> MailReport:
    report = read_report(DSN.format(fields="\n".join(fields), kind=kind).encode())
    assert report is not None
    return report


@pytest.mark.parametrize(
    ("status", "detail", "permanent"),
    [
        ("5.1.1", "", True),
        ("5.1.10", "", True),
        ("5.2.1", "smtp; 550 mailbox disabled", True),
        ("5.0.0", "smtp; 550 5.1.1 unknown", True),
        ("5.0.0", "", True),
        ("", "smtp; 550 no such user", True),
        ("5.2.2", "smtp; 552 mailbox full", False),
        ("5.0.0", "smtp; 552 5.2.2 mailbox full", False),
        ("5.7.1", "smtp; 550 5.7.1 blocked as spam", False),
        ("5.3.4", "smtp; 552 too big", False),
        ("5.1.7", "smtp; 553 5.1.7 the sender's address is none", False),
        ("5.0.0", "smtp; 553 5.1.8 the sender's domain does not exist", False),
        ("", "smtp; 421 203.5.1.1 is blocked for a while", False),
        ("5.4.7", "", False),
        ("4.4.7", "smtp; 421 timed out", False),
        ("", "smtp; 421 try later", False),
        ("", "", False),
    ],
)
def test_only_a_dead_address_is_permanent(status: str, detail: str, permanent: bool) -> None:
    [item] = dsn(
        "Final-Recipient: rfc822; ann@mail.test",
        "Action: failed",
        f"Status: {status}",
        f"Diagnostic-Code: {detail}",
    ).recipients
    assert (item.status, item.permanent, item.address) == (DeliveryStatus.BOUNCED, permanent, "ann@mail.test")


@pytest.mark.parametrize(
    ("reply", "blamed"),
    [
        ("5.1.1 no such mailbox", True),
        ("5.1.10 the domain takes no mail", True),
        ("5.2.1", True),
        ("5.1.1.", True),
        # Without a code of RFC 3463 it may be a server that does not relay for us.
        ("relay not permitted", False),
        ("no such user 5.1.1", False),
        ("5.0.0 no", False),
        ("5.1.8 your domain does not exist", False),
        ("5.2.2 full", False),
        ("5.7.1 relaying denied", False),
        ("4.1.1 not now", False),
        ("5.1.1.7 is blocked", False),
        ("", False),
    ],
)
def test_a_refusal_blames_the_address_by_its_code_alone(reply: str, blamed: bool) -> None:
    assert blames_address(reply) == blamed


@pytest.mark.parametrize("kind", ["message/rfc822", "text/rfc822-headers", "message/global-headers"])
def test_the_mail_is_known_again_by_its_headers(kind: str) -> None:
    report = dsn("Action: failed", "Status: 5.1.1", kind=kind)
    assert report.message_id == "m-17"
    assert "reply+token@shop.test" in report.addresses


def test_several_recipients_and_what_is_no_outcome() -> None:
    fields = ["Action: failed\nStatus: 5.1.1\n", "Action: delayed\nStatus: 4.4.1\n", "Action: relayed\n"]
    assert [item.status for item in dsn(*fields).recipients] == ["bounced", "delayed"]
    assert dsn("Action: relayed").recipients == ()


@pytest.mark.parametrize(("kind", "counts"), [("abuse", True), ("fraud", True), ("not-spam", False)])
def test_complaints(kind: str, counts: bool) -> None:
    report = read_report(ARF.format(kind=kind).encode())
    assert report is not None
    assert [(item.status, item.address) for item in report.recipients] == (
        [(DeliveryStatus.COMPLAINED, "ann@mail.test")] if counts else []
    )
    assert {"reply+token@shop.test", "u+news.token@shop.test"} <= set(report.addresses)


@pytest.mark.parametrize(
    "text",
    [
        DSN.format(fields="Status: 5.1.1", kind="text/plain"),
        "Content-Type: multipart/report; report-type=delivery-status; boundary=B\n\nno parts",
        "Content-Type: multipart/report; report-type=feedback-report; boundary=B\n\n--B\n\nx\n--B--\n",
        "Content-Type: multipart/report; report-type=delivery-status; boundary=B\n\n"
        + "--B\n\nx\n" * 200
        + "--B--\n",
        "".join(f"Content-Type: multipart/mixed; boundary=b{at}\n\n--b{at}\n" for at in range(40)),
    ],
)
def test_what_makes_no_sense_is_a_bad_report(text: str) -> None:
    with pytest.raises(BadReport):
        read_report(text.encode())


def test_a_report_that_is_too_large_is_not_read() -> None:
    with pytest.raises(BadReport, match="bytes"):
        read_report(b"x" * 6_000_001)


@settings(max_examples=60, deadline=None)
@given(
    base=st.sampled_from(
        [DSN.format(fields="Action: failed\nStatus: 5.1.1", kind="message/rfc822"), ARF.format(kind="abuse")]
    ),
    at=st.floats(0, 1),
    cut=st.integers(0, 120),
    put=st.one_of(
        st.binary(max_size=60),
        st.sampled_from([b"\n--B\n", b"\n\n", b"\x00", b"=?utf-16?b?2AA=?=", b";" * 50]),
    ),
)
def test_whatever_is_broken_is_read_or_refused_and_can_be_stored(
    base: str, at: float, cut: int, put: bytes
) -> None:
    raw = base.encode()
    start = int(at * len(raw))
    try:
        report = read_report(raw[:start] + put + raw[start + cut :])
    except BadReport:
        return
    for item in report.recipients if report else ():
        assert "\x00" not in item.reason + item.address
        assert len(item.reason) < 400
        (item.reason + item.address).encode()
