"""Read an inbound mail without trusting it: text, ids, and whether a machine wrote it.

Everything a stranger controls has a bound: the length of a header field, the number of fields and of parts, and the
work that nested parts make for the parser, which otherwise grows with its square.
"""

from __future__ import annotations

import codecs
import email
import hashlib
import re
from dataclasses import dataclass
from email.header import decode_header
from email.message import Message
from email.policy import Compat32
from email.utils import parseaddr

from services.care.domain.html_text import html_to_text

MAX_TEXT = 200_000
MAX_PARTS = 200
MAX_HEADER = 4_000
MAX_HEADERS = 2_000
MAX_HEAD = 500_000
MAX_MULTIPARTS = 100
MAX_WORK = 10_000_000
"""Lines times multiparts: the parser compares each line with each open boundary, and makes an object of each part."""

_BOUNDARY_COST = 100
_MULTIPART = re.compile(rb"^content-type:\s*multipart/", re.IGNORECASE | re.MULTILINE)
_HEAD_END = re.compile(rb"\n\r?\n")
_AUTOMATIC_PRECEDENCE = {"bulk", "junk", "list", "auto_reply"}
_AUTOMATIC_FIELDS = (
    "X-Autoreply",
    "X-Auto-Reply",
    "X-Autorespond",
    "X-Mail-Autoreply",
    "X-Auto-Reply-From",
    "List-Id",
    "List-Post",
    "List-Unsubscribe",
)
_ANSWERS = {"all", "oof", "autoreply"}
_MESSAGE_ID = re.compile(r"<[^<>\s]{1,250}>")
_BLANKS = re.compile(r"\n{3,}")
_CONTROLS = {code: None for code in (*range(32), 127) if chr(code) not in "\t\n"}
# Codecs that decode no text in the sense of mail: they are slow, or make characters out of escapes.
_NO_CHARSETS = {"idna", "punycode", "undefined", "unicode_escape", "raw_unicode_escape"}


class InvalidMail(ValueError):
    """Report bytes that are no mail, or one made to hurt."""


@dataclass(frozen=True, slots=True)
class InboundMail:
    """Hold what care needs of a mail.

    key: by which it is known again, its Message-ID or else one made from its content. message_id: empty when it has
    none. automatic: why it counts as written by a machine (RFC 3834); empty for a person's mail. text: in full,
    quotes included. report: a mail server or provider reports on mail of ours (RFC 3464, RFC 5965).
    """

    key: str
    message_id: str
    from_address: str
    subject: str
    text: str
    automatic: str
    report: bool = False


class _Bounded(Compat32):
    """Keep fields as they came, but no longer than MAX_HEADER; holds for the fields of nested parts too."""

    def header_source_parse(self, sourcelines: list[str]) -> tuple[str, str]:
        name, value = super().header_source_parse(sourcelines)
        return name, value[:MAX_HEADER]

    def header_fetch_parse(self, name: str, value: str) -> str:
        return value


_POLICY = _Bounded()


def read_mail(raw: bytes, envelope_sender: str) -> InboundMail:
    """Read a mail (RFC 5322); raises InvalidMail when the bytes are none.

    Broken parts never fail the whole: what cannot be read is named in the text instead.
    """
    head = _HEAD_END.search(raw)
    if (head.start() if head else len(raw)) > MAX_HEAD:
        raise InvalidMail(f"the header is longer than {MAX_HEAD} bytes; expected a mail as in RFC 5322")
    multiparts = len(_MULTIPART.findall(raw))
    work = multiparts * (raw.count(b"\n") + _BOUNDARY_COST * raw.count(b"\n--"))
    if multiparts > MAX_MULTIPARTS or work > MAX_WORK:
        raise InvalidMail("too many nested parts; expected a mail that a person wrote")
    try:
        message = email.message_from_bytes(raw, policy=_POLICY)
    except Exception as error:  # the parser raises many kinds on hostile input
        raise InvalidMail(f"not readable as a mail: {type(error).__name__}") from error
    if not 0 < len(message) <= MAX_HEADERS:
        raise InvalidMail(
            f"{len(message)} header fields; expected a mail as in RFC 5322, with at most {MAX_HEADERS}"
        )
    found = _MESSAGE_ID.search(_header(message, "Message-ID"))
    message_id = found.group() if found else ""
    return InboundMail(
        key=message_id or f"<sha256-{hashlib.sha256(raw).hexdigest()}>",
        message_id=message_id,
        from_address=_address(_header(message, "From")),
        subject=_header(message, "Subject")[:1000],
        text=_text(message),
        automatic=_automatic(message, envelope_sender),
        report=_is_report(message),
    )


def _header(message: Message, name: str) -> str:
    """Return a field on one line, with its encoded words (RFC 2047) decoded."""
    try:
        value = str(message.get(name) or "").encode("utf-8", "surrogateescape").decode("utf-8", "replace")
        text = "".join(
            chunk if isinstance(chunk, str) else _decode(chunk, charset or "latin-1")
            for chunk, charset in decode_header(value)
        )
    except Exception:  # a malformed field must not lose the mail
        return ""
    return " ".join(_clean(text.replace("\r", " ")).split())


def _address(text: str) -> str:
    try:
        address = parseaddr(text)[1].strip()
    except RecursionError:  # nested comments
        return ""
    local, at, domain = address.rpartition("@")
    return address if at and local and domain and len(address) <= 320 and " " not in address else ""


def _automatic(message: Message, envelope_sender: str) -> str:
    if not envelope_sender.strip("<> "):
        return "null sender"
    submitted = _header(message, "Auto-Submitted").split(";")[0].strip().lower()
    if submitted and submitted != "no":
        return f"Auto-Submitted: {submitted[:40]}"
    precedence = _header(message, "Precedence").lower()
    if precedence in _AUTOMATIC_PRECEDENCE:
        return f"Precedence: {precedence}"
    for name in _AUTOMATIC_FIELDS:
        if name in message:
            return name
    # What forbids an answer by a machine was not written by hand, or must be heeded all the same.
    suppressed = _header(message, "X-Auto-Response-Suppress").lower()
    if _ANSWERS.intersection(part.strip() for part in suppressed.split(",")):
        return "X-Auto-Response-Suppress"
    if envelope_sender.strip("<> ").lower().partition("@")[0] == "mailer-daemon":
        return "mailer-daemon"
    if message.get_content_type() == "multipart/report":
        return "multipart/report"
    return ""


def _is_report(message: Message) -> bool:
    if message.get_content_type() != "multipart/report":
        return False
    try:
        kind = str(message.get_param("report-type", "")).lower()
    except Exception:  # as any field, it may be malformed
        return False
    return kind in ("delivery-status", "feedback-report")


def _text(message: Message) -> str:
    plain: list[str] = []
    rich: list[str] = []
    waiting: list[Message] = [message]
    seen = 0
    while waiting:
        part = waiting.pop()
        seen += 1
        if seen > MAX_PARTS:
            plain.append("(more parts were left out)")
            break
        try:
            waiting.extend(_read_part(part, plain, rich))
        except Exception:  # see read_mail: one bad part must not lose the others
            plain.append("(a part could not be read)")
    text = "\n".join(plain) if any(part.strip() for part in plain) else "\n".join(rich)
    return (
        _BLANKS.sub("\n\n", _clean(text.replace("\r\n", "\n").replace("\r", "\n"))).strip()[:MAX_TEXT]
        or "(no text)"
    )


def _read_part(part: Message, plain: list[str], rich: list[str]) -> list[Message]:
    """Take the text of a part, or return its own parts, the last one first."""
    if part.get_content_disposition() == "attachment":
        return []
    kind = part.get_content_type()
    payload = part.get_payload()
    if isinstance(payload, list):
        # A mail within the mail is somebody else's words.
        parts = payload if kind.startswith("multipart/") else []
        return [item for item in reversed(parts) if isinstance(item, Message)]
    if kind == "text/plain":
        plain.append(_content(part))
    elif kind == "text/html":
        rich.append(html_to_text(_content(part)[: 2 * MAX_TEXT]))
    return []


def _content(part: Message) -> str:
    payload = part.get_payload(decode=True)
    if not isinstance(payload, bytes):
        return ""
    # No character takes more than four bytes, so nothing that is kept is lost here.
    return _decode(payload[: 8 * MAX_TEXT], part.get_content_charset() or "utf-8")


def _decode(data: bytes, charset: str) -> str:
    try:
        if codecs.lookup(charset).name.replace("-", "_") not in _NO_CHARSETS:
            return data.decode(charset, "replace")
    except (LookupError, ValueError):
        pass
    return data.decode("utf-8", "replace")


def _clean(text: str) -> str:
    """Return a text that any program can store and show: no control characters, no halves of surrogate pairs."""
    return text.translate(_CONTROLS).encode("utf-8", "replace").decode()
