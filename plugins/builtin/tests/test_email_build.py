"""The fast builder against the standard library: what it writes is what `email` reads."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta, timezone
from email import message_from_bytes, policy
from email.header import decode_header, make_header
from email.message import EmailMessage
from email.utils import format_datetime
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from rapport_builtin.email.build import BadMessage, build
from rapport_sdk import OutboundMessage

NOW = datetime(2026, 3, 1, 7, 30, 15, 999, tzinfo=timezone(timedelta(hours=7)))


def mail(**fields: Any) -> OutboundMessage:
    given = {"to": "ann@test.test", "from_address": "shop@test.test", "subject": "News", "text": "Hello"}
    return OutboundMessage(message_id="m-1", **{**given, **fields})


def read(raw: bytes) -> EmailMessage:
    parsed = message_from_bytes(raw, policy=policy.default)
    assert isinstance(parsed, EmailMessage)
    assert parsed.defects == []
    return parsed


def body(parsed: EmailMessage, kind: str) -> str:
    part = parsed.get_body((kind,))
    assert part is not None
    return str(part.get_content())


def plain(text: str) -> str:
    """Give a text as mail carries it: line ends are line ends."""
    return text.replace("\r\n", "\n").replace("\r", "\n")


texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=400) | st.text(
    "ab .=-\n\r\tđế您😀", max_size=2500
)
names = st.text(st.characters(exclude_categories=["Cs", "Cc", "Zl", "Zp"]), max_size=120)


@given(text=texts, html=texts)
@example(text=".\r\n..\n.x", html="<p>x</p>")
@example(text="x" * 3000, html="đ" * 3000)
@example(text="", html="")
@example(text="a\n" + "y" * 1200 + "đ\rb", html="")
def test_bodies_read_back(text: str, html: str) -> None:
    raw = build(mail(text=text, html=html), NOW)
    assert max(map(len, raw.split(b"\r\n"))) <= 998
    assert raw.isascii()
    assert not re.search(rb"(?<!\r)\n|\r(?!\n)", raw)
    assert raw.endswith(b"\r\n")
    parsed = read(raw)
    # A single part has to end in a line end, which cannot be told from one that the text brought.
    ends = (
        {("plain", text), ("html", html)} if text and html else {("html", html) if html else ("plain", text)}
    )
    for kind, content in ends:
        assert plain(body(parsed, kind)).rstrip("\n") == plain(content).rstrip("\n")


@given(subject=names, name=names)
@example(
    subject="Khuyến mãi cuối năm dành riêng cho khách hàng thân thiết của chúng tôi tại Đà Nẵng",
    name="Đặng, Ánh",
)
@example(subject="=?utf-8?b?SGk=?=", name='A "B" <c@d> \\')
@example(subject="a  b   c " * 30, name="x" * 100)
@example(subject="w" * 1500, name="")
@example(subject="😀" * 100, name="😀" * 30)
def test_headers_read_back(subject: str, name: str) -> None:
    raw = build(mail(subject=subject, to_name=name, from_name=name), NOW)
    head = raw.partition(b"\r\n\r\n")[0]
    assert max(map(len, head.split(b"\r\n"))) <= 998
    parsed = read(raw)
    assert parsed["Subject"] == subject.strip(" ")
    for header, address in (("To", "ann@test.test"), ("From", "shop@test.test")):
        (mailbox,) = parsed[header].addresses
        assert mailbox.addr_spec == address
        shown = " ".join(name.split())
        if shown.isascii() and len(shown) <= 60 and "=?" not in shown:
            assert mailbox.display_name == shown
        else:
            # The new parser keeps the blank between two encoded words of a name, against RFC 2047, 6.2;
            # the old one reads them right.
            folded = re.search(rb"(?m)^" + header.encode() + rb": ((?:.|\r\n )*)\r$", head + b"\r\n")
            assert folded is not None
            words = folded[1].decode().replace("\r\n", "")
            assert str(make_header(decode_header(words))) == f"{shown} <{address}>"


def test_equals_what_the_standard_library_writes() -> None:
    message = mail(
        subject="Xin chào",
        to_name="Ánh Đặng",
        from_name="Shop",
        reply_to="care@test.test",
        text="Chào bạn,\n您好\n",
        html="<p>您好</p>\n",
        headers={"List-Unsubscribe": "<https://test.test/u?t=abc>", "X-Campaign": "c1"},
    )
    ours = read(build(message, NOW))
    oracle = EmailMessage(policy=policy.SMTP)
    oracle["From"] = "Shop <shop@test.test>"
    oracle["Reply-To"] = "care@test.test"
    oracle["To"] = "Ánh Đặng <ann@test.test>"
    oracle["Subject"] = "Xin chào"
    oracle["Message-ID"] = "<m-1@test.test>"
    oracle["Date"] = format_datetime(NOW.astimezone(UTC))
    oracle["List-Unsubscribe"] = "<https://test.test/u?t=abc>"
    oracle["X-Campaign"] = "c1"
    oracle.set_content("Chào bạn,\n您好\n")
    oracle.add_alternative("<p>您好</p>\n", subtype="html")
    theirs = read(oracle.as_bytes())
    kept = [name for name in theirs.keys() if name != "Content-Type"]  # noqa: SIM118
    assert {name: str(ours[name]) for name in kept} == {name: str(theirs[name]) for name in kept}
    assert ours.get_content_type() == theirs.get_content_type() == "multipart/alternative"
    for kind in ("plain", "html"):
        assert plain(body(ours, kind)) == plain(body(theirs, kind))


def test_the_same_message_is_built_the_same() -> None:
    message = mail(html="<p>x</p>")
    assert build(message, NOW) == build(message, NOW)


def test_a_text_that_holds_the_boundary_is_encoded() -> None:
    raw = build(mail(html="x"), NOW)
    boundary = re.findall(rb'boundary="([^"]+)"', raw)[0].decode()
    text = f"--{boundary}\nContent-Type: text/html\n\nevil"
    assert plain(body(read(build(mail(text=text, html="x"), NOW)), "plain")) == text


def test_long_ascii_headers_are_folded() -> None:
    value = ", ".join(f"<https://test.test/unsubscribe/{number}>" for number in range(40))
    raw = build(mail(headers={"List-Unsubscribe": value}), NOW)
    assert max(map(len, raw.split(b"\r\n"))) <= 78
    assert read(raw)["List-Unsubscribe"] == value


def test_domain_names_beyond_ascii() -> None:
    assert read(build(mail(to="ann@bücher.test"), NOW))["To"] == "ann@xn--bcher-kva.test"


@pytest.mark.parametrize(
    ("fields", "problem"),
    [
        ({"subject": "a\nBcc: x@test.test"}, "Subject"),
        ({"headers": {"X-A": "b\r\nBcc: x@test.test"}}, "X-A"),
        ({"headers": {"X-A: b\r\nBcc": "x"}}, "header name"),
        ({"headers": {"Bcc": "x@test.test"}}, "Bcc"),
        ({"headers": {"content-type": "text/html"}}, "content-type"),
        ({"headers": {"X-A": "đ"}}, "ASCII"),
        ({"headers": {"X-A": "x" * 1000}}, "too long"),
        ({"to_name": "a\x00b"}, "To"),
        ({"to": "đ@test.test"}, "SMTPUTF8"),
        ({"from_address": ""}, "from_address"),
        ({"reply_to": "x"}, "reply_to"),
    ],
)
def test_refused_with_the_name_of_the_field(fields: dict[str, Any], problem: str) -> None:
    with pytest.raises(BadMessage, match=problem):
        build(mail(**fields), NOW)


@pytest.mark.parametrize("message_id", ["", "a b", "a@b", "<a>", "a\n", "x" * 201])
def test_bad_message_id(message_id: str) -> None:
    message = OutboundMessage(message_id=message_id, to="a@test.test", text="x", from_address="b@test.test")
    with pytest.raises(BadMessage, match="message_id"):
        build(message, NOW)
