"""Reading mail: what is taken from it, what counts as automatic, and that nothing hurts."""

from __future__ import annotations

import email.policy
from email.message import EmailMessage

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from services.care.domain.html_text import html_to_text
from services.care.domain.mail import (
    MAX_HEADER,
    MAX_MULTIPARTS,
    MAX_TEXT,
    InboundMail,
    InvalidMail,
    read_mail,
)

HEAD = b"From: Nguyen <a@b.test>\r\nSubject: Hi\r\nMessage-ID: <1@b.test>\r\n"
BOUNDARY = b'Content-Type: multipart/mixed; boundary="b"\r\n\r\n'


def read(raw: bytes, sender: str = "a@b.test") -> InboundMail:
    return read_mail(raw, sender)


def written(**headers: str) -> EmailMessage:
    message = EmailMessage(policy=email.policy.SMTP)
    message["From"] = "Nguyễn Văn A <khach@example.test>"
    message["Subject"] = "Đơn hàng của tôi chưa đến, 我的订单在哪里"
    for name, value in headers.items():
        message[name.replace("_", "-")] = value
    return message


def test_a_plain_mail_in_any_script_is_read():
    message = written(Message_ID="<abc@example.test>")
    message.set_content("Chào bạn,\n订单 1234 还没到。\n")
    found = read(message.as_bytes())
    assert found == InboundMail(
        key="<abc@example.test>",
        message_id="<abc@example.test>",
        from_address="khach@example.test",
        subject="Đơn hàng của tôi chưa đến, 我的订单在哪里",
        text="Chào bạn,\n订单 1234 还没到。",
        automatic="",
    )


def test_plain_text_wins_over_html_and_attachments_stay_out():
    message = written()
    message.set_content("the words")
    message.add_alternative("<p>the <b>marked</b> words</p>", subtype="html")
    message.add_attachment("secret notes", filename="notes.txt")
    assert read(message.as_bytes()).text == "the words"


def test_html_alone_is_stripped():
    message = written()
    message.set_content(
        "<html><head><title>t</title><style>p {color: red}</style></head><body><p>Xin&nbsp;chào"
        "<br>1 &lt; 2<!-- hidden --></p><script>alert(1)</script><a title='a>b'>link</a></body></html>",
        subtype="html",
    )
    assert read(message.as_bytes()).text == "Xin chào\n1 < 2\nlink"


def test_a_mail_within_a_mail_is_not_the_senders_words():
    inner = written()
    inner.set_content("what somebody else said")
    message = written()
    message.set_content("see below")
    message.add_attachment(inner)
    assert read(message.as_bytes()).text == "see below"


def test_quotes_are_kept():
    assert read(HEAD + b"\r\nyes\r\n> really?\r\n").text == "yes\n> really?"


def test_without_a_message_id_the_content_is_the_key():
    one, two = b"From: a@b.test\r\n\r\none", b"From: a@b.test\r\n\r\ntwo"
    assert read(one).message_id == ""
    assert read(one).key == read(one).key != read(two).key
    assert read(b"From: a@b.test\r\nMessage-ID: nonsense\r\n\r\none").message_id == ""
    long = b"From: a@b.test\r\nMessage-ID: <" + "ö".encode() * 600 + b"@x>\r\n\r\none"
    assert len(read(long).key.encode()) < 1000


@pytest.mark.parametrize(
    ("header", "reason"),
    [
        ("Auto-Submitted: auto-replied", "Auto-Submitted: auto-replied"),
        ("Auto-Submitted: auto-generated; owner=x", "Auto-Submitted: auto-generated"),
        ("Auto-Submitted: no", ""),
        ("Precedence: bulk", "Precedence: bulk"),
        ("Precedence: List", "Precedence: list"),
        ("Precedence: first-class", ""),
        ("X-Autoreply: yes", "X-Autoreply"),
        ("X-Autorespond: yes", "X-Autorespond"),
        ("List-Id: <news.example.test>", "List-Id"),
        ("List-Unsubscribe: <mailto:stop@example.test>", "List-Unsubscribe"),
        ("X-Auto-Reply-From: a@example.test", "X-Auto-Reply-From"),
        ("X-Auto-Response-Suppress: DR, OOF, AutoReply", "X-Auto-Response-Suppress"),
        ("X-Auto-Response-Suppress: All", "X-Auto-Response-Suppress"),
        ("X-Auto-Response-Suppress: DR, NDR", ""),
        ("X-Auto-Response-Suppress: None", ""),
        ("Content-Type: multipart/report; report-type=delivery-status; boundary=x", "multipart/report"),
    ],
)
def test_what_machines_write_is_told_apart(header: str, reason: str):
    assert read(HEAD + header.encode() + b"\r\n\r\nhello").automatic == reason


@pytest.mark.parametrize("sender", ["", "<>", " "])
def test_the_null_sender_is_a_machine(sender: str):
    assert read(HEAD + b"\r\nhello", sender).automatic == "null sender"


@pytest.mark.parametrize("raw", [b"", b"\r\n", b"\r\n\r\njust words", b"no field at all", b"\x00\xff" * 40])
def test_bytes_that_are_no_mail_are_refused(raw: bytes):
    with pytest.raises(InvalidMail):
        read(raw)


@pytest.mark.parametrize(
    "raw",
    [
        HEAD + b"Content-Type: message/rfc822\n\n" * 20_000,
        HEAD
        + b"".join(
            b"Content-Type: multipart/mixed; boundary=b%d\n\n--b%d\n" % (n, n)
            for n in range(MAX_MULTIPARTS + 1)
        ),
        HEAD + BOUNDARY + b"--b\n\nx\n" * 200_000,
        b"a:\n" * 100_000,
        b"Subject: " + b"x" * 1_000_000,
    ],
    ids=["nested mails", "nested parts", "many parts", "many fields", "endless field"],
)
def test_mail_made_to_hurt_is_refused(raw: bytes):
    with pytest.raises(InvalidMail):
        read(raw)


def test_a_hostile_field_is_cut_or_left_out():
    assert len(read(b"Subject: " + b"x" * 300_000 + b"\r\n\r\nhi").subject) <= MAX_HEADER
    assert read(b"From: " + b"(" * 3_000 + b"\r\n\r\nhi").from_address == ""
    assert read(b"From: a@b.test\r\nSubject: =?punycode?b?//8=?= =?x\x00?q?=ff?=\r\n\r\nhi").text == "hi"
    smuggled = read(b"From: a@b.test\r\nSubject: =?utf-8?q?one=0D=0ABcc:_x=00y?=\r\n\r\nhi")
    assert smuggled.subject == "one Bcc: xy"


def test_raw_utf8_in_a_field_is_read():
    assert read("From: a@b.test\r\nSubject: Đơn hàng\r\n\r\nhi".encode()).subject == "Đơn hàng"


@pytest.mark.parametrize(
    "charset",
    [
        "nonsense",
        "idna",
        "punycode",
        "unicode_escape",
        "undefined",
        "base64",
        "utf-7",
        "x" * 3000,
        "utf-16",
        "a\x00b",
    ],
)
def test_no_charset_loses_the_mail(charset: str):
    raw = (
        HEAD + f"Content-Type: text/plain; charset={charset}\r\n\r\n".encode() + b"caf\xc3\xa9 \\ud800 +2AA-"
    )
    found = read(raw).text
    assert found
    assert "\x00" not in found
    assert found.encode()


def test_one_broken_part_does_not_lose_the_others():
    parts = (
        b"--b\r\nContent-Type: text/html\r\n\r\n&#"
        + b"9" * 5_000
        + b";\r\n--b\r\n\r\nstill here\r\n--b--\r\n"
    )
    assert "still here" in read(HEAD + BOUNDARY + parts).text


def test_text_has_a_limit():
    assert len(read(HEAD + b"\r\n" + b"word " * 100_000).text) <= MAX_TEXT


LINES = st.lists(
    st.one_of(
        st.binary(max_size=60),
        st.sampled_from(
            [
                b"Content-Type: multipart/mixed; boundary=b",
                b"Content-Type: multipart/alternative; boundary=",
                b"Content-Type: text/html; charset=utf-7",
                b"Content-Type: message/rfc822",
                b"Content-Type: text/plain; charset*=utf-8''%ff",
                b"Content-Transfer-Encoding: base64",
                b"Content-Transfer-Encoding: quoted-printable",
                b"Content-Transfer-Encoding: x-uuencode",
                b"Content-Disposition: inline; filename*0*=a; filename*2=b",
                b"Subject: =?utf-8?b?////?= =?=?= =?utf-8?q?=zz?=",
                b'From: "a" <<a@b>, (((c)@',
                b"From: a@b.test",
                b"--b",
                b"--b--",
                b"",
                b"begin 666 x",
                b"<p><!-- <a b='",
            ]
        ),
    ),
    max_size=30,
)


@settings(max_examples=400, deadline=None)
@given(LINES, st.sampled_from([b"\r\n", b"\n", b"\r"]), st.text(max_size=10))
@example([b"From: a@b.test", b"Content-Type: text/html; charset=unicode_escape", b"", rb"\ud800"], b"\n", "x")
def test_whatever_comes_is_read_or_refused(lines: list[bytes], end: bytes, sender: str):
    try:
        found = read(end.join(lines), sender)
    except InvalidMail:
        return
    for text in (found.key, found.message_id, found.from_address, found.subject, found.text, found.automatic):
        assert text.encode().decode() == text
        assert "\x00" not in text
    assert "\n" not in found.subject + found.from_address + found.key
    assert found.text
    assert len(found.text) <= MAX_TEXT


@settings(max_examples=200, deadline=None)
@given(st.text(alphabet="<>!-/?&;pb\"'= \n#9x", max_size=120))
def test_html_is_never_too_broken(markup: str):
    assert isinstance(html_to_text(markup), str)


@given(st.text(alphabet="abc déđ中 ", max_size=60))
def test_html_without_marks_is_its_own_text(text: str):
    assert html_to_text(f"<div>{text}</div>") == " ".join(text.split())


def test_a_mailer_daemon_is_a_machine_whatever_its_domain():
    assert read(HEAD + b"\r\nhello", "MAILER-DAEMON@mx.test").automatic == "mailer-daemon"


@pytest.mark.parametrize(
    ("kind", "report"),
    [
        ("multipart/report; report-type=delivery-status", True),
        ("multipart/report; report-type=Feedback-Report", True),
        ("multipart/report; report-type=disposition-notification", False),
        ("multipart/report", False),
        ("multipart/mixed; report-type=delivery-status", False),
    ],
)
def test_reports_on_our_mail_are_told_apart(kind: str, report: bool):
    assert read(HEAD + f"Content-Type: {kind}; boundary=x\r\n\r\nhello".encode()).report is report
