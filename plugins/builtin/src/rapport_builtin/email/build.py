"""Build the bytes of a mail, fast: the parts that many messages share are made once.

The standard library's `email` does the same at a hundred times the cost; it is the tests' oracle.
"""

from __future__ import annotations

import binascii
import re
from collections.abc import Iterable
from datetime import UTC, datetime
from email.utils import format_datetime
from functools import lru_cache
from hashlib import blake2s

from rapport_sdk import OutboundMessage

LINE_LIMIT = 998  # RFC 5322, 2.1.1, without CRLF
_FOLD_AT = 76
_WORD_PREFIX, _WORD_SUFFIX = "=?utf-8?b?", "?="
_CONTROL = re.compile(r"[\x00-\x1f\x7f\u0085\u2028\u2029]")
_HEADER_NAME = re.compile(r"[!-9;-~]{1,60}")
_ATOM = re.compile(r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+(?:\.[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+)*")
_QUOTED = re.compile(r'"(?:[ !#-\[\]-~]|\\[ -~])*"')
_DOMAIN = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9.-]*[A-Za-z0-9])?")
_PLAIN_NAME = re.compile(r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~ -]*")
# What the builder writes itself; a message that set them would contradict it, or address people of its own.
_OURS = frozenset(
    "from to cc bcc sender subject date message-id reply-to mime-version return-path".split()  # noqa: SIM905
)


class BadMessage(ValueError):
    """Say why a message can never be sent as it is."""


def address(text: str, what: str) -> str:
    """Return an address as SMTP takes it, its domain in ASCII; raises BadMessage when it is not one."""
    if _CONTROL.search(text):
        raise BadMessage(f"{what} holds a line break or control character")
    local, at, domain = text.rpartition("@")
    if not at or not (_ATOM.fullmatch(local) or _QUOTED.fullmatch(local)):
        reason = "" if text.isascii() else ": letters outside of ASCII before the @ need SMTPUTF8"
        raise BadMessage(f"{what} {text!r} is not a mail address{reason}")
    return f"{local}@{_ascii_domain(domain, what)}"


@lru_cache(maxsize=4096)
def _ascii_domain(domain: str, what: str) -> str:
    try:
        converted = domain if domain.isascii() else domain.encode("idna").decode()
    except UnicodeError:
        converted = ""
    if not _DOMAIN.fullmatch(converted) or ".." in converted or len(converted) > 253:
        raise BadMessage(f"{what} has a bad domain {domain!r}")
    return converted


def message_id(message: OutboundMessage) -> str:
    """Return the Message-ID, the same on every attempt; raises BadMessage for an id that does not fit one."""
    if not _ATOM.fullmatch(message.message_id) or len(message.message_id) > 200:
        raise BadMessage(f"message_id {message.message_id!r} must be letters, digits, - . _ only")
    domain = address(message.from_address, "from_address").rpartition("@")[2]
    return f"<{message.message_id}@{domain}>"


def build(message: OutboundMessage, now: datetime) -> bytes:
    """Return the mail with CRLF line ends, in seven bits; raises BadMessage, naming the field."""
    text, html = message.text, message.html
    lines = [
        _sender(message.from_address, message.from_name, message.reply_to),
        f"To: {_mailbox('To', message.to_name, address(message.to, 'to'))}",
        f"Subject: {_unstructured('Subject', message.subject)}",
        f"Message-ID: {message_id(message)}",
        f"Date: {_date(now.replace(microsecond=0))}",
        *_extra(message.headers.items()),
        "MIME-Version: 1.0",
    ]
    if text and html:
        boundary = "=_" + blake2s(message.message_id.encode(), digest_size=15).hexdigest()
        lines.append(f'Content-Type: multipart/alternative;\r\n boundary="{boundary}"')
        # An encoded part holds no "=_", and one that is sent as it is was searched for the boundary.
        mark = b"\r\n--" + boundary.encode()
        parts = (_part("plain", text, boundary), _part("html", html, boundary))
        body = b"".join((mark, b"\r\n", parts[0], mark, b"\r\n", parts[1], mark, b"--\r\n"))
    else:
        body = _part("html", html, "") if html else _part("plain", text, "")
        body += b"" if body.endswith(b"\r\n") else b"\r\n"
    return "\r\n".join(lines).encode("ascii") + b"\r\n" + body


@lru_cache(maxsize=1024)
def _sender(from_address: str, from_name: str, reply_to: str) -> str:
    line = f"From: {_mailbox('From', from_name, address(from_address, 'from_address'))}"
    return f"{line}\r\nReply-To: {address(reply_to, 'reply_to')}" if reply_to else line


@lru_cache(maxsize=8)
def _date(now: datetime) -> str:
    return format_datetime(now.astimezone(UTC))


def _mailbox(header: str, name: str, address_: str) -> str:
    name = " ".join(_checked(header, name).split())
    if not name:
        return address_
    if not name.isascii() or len(name) > 60 or "=?" in name:
        return f"{_encoded_words(name, _FOLD_AT - len(header) - 2)}\r\n <{address_}>"
    if not _PLAIN_NAME.fullmatch(name):
        name = '"' + name.replace("\\", "\\\\").replace('"', '\\"') + '"'
    return f"{name}\r\n <{address_}>" if len(name) + len(address_) > 60 else f"{name} <{address_}>"


def _checked(header: str, value: str) -> str:
    if _CONTROL.search(value):
        raise BadMessage(f"header {header} holds a line break or control character")
    return value


def _unstructured(header: str, value: str) -> str:
    value = _checked(header, value).strip(" ")
    room = _FOLD_AT - len(header) - 2
    if value.isascii() and "=?" not in value:
        if len(value) <= room:
            return value
        if max(map(len, value.split(" "))) < LINE_LIMIT - _FOLD_AT:
            return _folded(value, room)
    return _encoded_words(value, room)


def _folded(value: str, room: int) -> str:
    """Break before single spaces, so that unfolding gives the value back to the letter."""
    if len(value) <= room:
        return value
    lines, line = [], ""
    for word in re.findall(r" *[^ ]+", value):
        if line and len(line) + len(word) > room:
            lines.append(line)
            line, room = word, _FOLD_AT
        else:
            line += word
    return "\r\n".join([*lines, line])


def _encoded_words(value: str, room: int) -> str:
    """Encode as in RFC 2047: words of 75 characters at most, none of which splits a character."""
    data = value.encode("utf-8", "replace")
    words = []
    start = 0
    while start < len(data):
        step = max(3, (min(room, 75) - len(_WORD_PREFIX) - len(_WORD_SUFFIX)) // 4 * 3)
        end = min(start + step, len(data))
        while end < len(data) and data[end] & 0xC0 == 0x80:
            end -= 1
        if end == start:  # no room for one character: better a long line than an endless loop
            end = start + 4
        encoded = binascii.b2a_base64(data[start:end], newline=False).decode()
        words.append(_WORD_PREFIX + encoded + _WORD_SUFFIX)
        start, room = end, 75
    return "\r\n ".join(words)


def _extra(headers: Iterable[tuple[str, str]]) -> Iterable[str]:
    for name, value in headers:
        # Short ones are those of a list or a campaign, long ones hold what is of one message.
        yield _short(name, value) if len(value) <= _FOLD_AT else _field(name, value)


def _field(name: str, value: str) -> str:
    _check_name(name)
    value = _checked(name, value).strip(" ")
    if not value.isascii():
        raise BadMessage(f"header {name} must be ASCII")
    if max(map(len, value.split(" "))) > LINE_LIMIT - len(name) - 2:
        raise BadMessage(f"header {name} is too long for a line")
    return f"{name}: {_folded(value, _FOLD_AT - len(name) - 2)}"


_short = lru_cache(maxsize=1024)(_field)


@lru_cache(maxsize=256)
def _check_name(name: str) -> None:
    if not _HEADER_NAME.fullmatch(name):
        raise BadMessage(f"header name {name[:60]!r} is not one")
    if name.lower() in _OURS or name.lower().startswith("content-"):
        raise BadMessage(f"header {name} is set from the message's own fields")


def _part(subtype: str, content: str, boundary: str) -> bytes:
    if "\r" in content:
        content = content.replace("\r\n", "\n").replace("\r", "\n")
    content = content.replace("\n", "\r\n")
    data = content.encode("utf-8", "replace")
    beyond = len(data) - len(content)
    if (
        not beyond
        and b"\x00" not in data
        and max(map(len, data.split(b"\r\n"))) <= LINE_LIMIT
        and not (boundary and boundary in content)
    ):
        encoding = b"7bit"
    # Quoted-printable triples each byte beyond ASCII, base64 adds a third to all, so the former is shorter
    # below one such byte in six; `beyond` counts all but the first byte of such a character, about 6 of 10.
    elif beyond * 10 < len(data):
        encoding, data = b"quoted-printable", binascii.b2a_qp(data, istext=True)
        if "\n" not in content:  # b2a_qp breaks its lines as the text does, if it does
            data = data.replace(b"\n", b"\r\n")
    else:
        encoding, data = b"base64", _base64_lines(data)
    head = b"Content-Type: text/" + subtype.encode() + b"; charset=utf-8"
    return head + b"\r\nContent-Transfer-Encoding: " + encoding + b"\r\n\r\n" + data


def _base64_lines(data: bytes) -> bytes:
    return b"\r\n".join(
        binascii.b2a_base64(data[start : start + 57], newline=False) for start in range(0, len(data), 57)
    )
