"""Read an inbound mail without trusting it: text, ids, and whether a machine wrote it."""

from __future__ import annotations

import email
import email.policy
import hashlib
import html
import re
from dataclasses import dataclass
from email.message import EmailMessage, Message
from email.utils import parseaddr
from html.parser import HTMLParser

MAX_TEXT = 200_000
MAX_PARTS = 200
_AUTOMATIC_PRECEDENCE = {"bulk", "junk", "list", "auto_reply"}
_MESSAGE_ID = re.compile(r"<[^<>\s]{1,990}>")
_BLANKS = re.compile(r"\n{3,}")


class InvalidMail(ValueError):
    """Report bytes that are no mail."""


@dataclass(frozen=True, slots=True)
class InboundMail:
    """Hold what care needs of a mail. message_id is made from the content when the mail has none."""

    message_id: str
    from_address: str
    subject: str
    text: str
    automatic: str
    """Why it counts as automatic (RFC 3834); empty for a person's mail."""


def read_mail(raw: bytes, envelope_sender: str) -> InboundMail:
    """Read a mail (RFC 5322); raises InvalidMail when the bytes are none.

    Broken parts never fail the whole: what cannot be read is named in the text instead.
    """
    try:
        message = email.message_from_bytes(raw, policy=email.policy.default)
    except Exception as error:  # the parser raises many kinds on hostile input
        raise InvalidMail(f"not readable as a mail: {error}") from error
    if not isinstance(message, EmailMessage) or not message.keys():
        raise InvalidMail("there are no header fields; expected a mail as in RFC 5322")
    found = _MESSAGE_ID.search(_header(message, "Message-ID"))
    digest = hashlib.sha256(raw).hexdigest()[:32]
    return InboundMail(
        message_id=found.group() if found else f"<sha256-{digest}@no-message-id>",
        from_address=_address(_header(message, "From")),
        subject=_one_line(_header(message, "Subject"))[:1000],
        text=_text(message)[:MAX_TEXT],
        automatic=_automatic(message, envelope_sender),
    )


def _header(message: Message, name: str) -> str:
    try:
        value = message.get(name)
        return "" if value is None else str(value)
    except Exception:  # a malformed header must not lose the mail
        return ""


def _one_line(text: str) -> str:
    return " ".join(text.replace("\x00", "").split())


def _address(text: str) -> str:
    address = parseaddr(_one_line(text))[1].strip()
    return address[:320] if "@" in address else ""


def _automatic(message: Message, envelope_sender: str) -> str:
    if not envelope_sender.strip("<> "):
        return "null sender"
    submitted = _header(message, "Auto-Submitted").split(";")[0].strip().lower()
    if submitted and submitted != "no":
        return f"Auto-Submitted: {submitted[:40]}"
    precedence = _header(message, "Precedence").strip().lower()
    if precedence in _AUTOMATIC_PRECEDENCE:
        return f"Precedence: {precedence}"
    for name in ("X-Autoreply", "X-Autorespond", "List-Id"):
        if name in message:
            return name
    if message.get_content_type() == "multipart/report":
        return "multipart/report"
    return ""


def _text(message: EmailMessage) -> str:
    plain: list[str] = []
    rich: list[str] = []
    try:
        for count, part in enumerate(message.walk()):
            if count >= MAX_PARTS:
                plain.append("(more parts were left out)")
                break
            if part.is_multipart() or part.get_content_disposition() == "attachment":
                continue
            kind = part.get_content_type()
            if kind == "text/plain":
                plain.append(_content(part))
            elif kind == "text/html":
                rich.append(_strip(_content(part)))
    except (RecursionError, AttributeError, ValueError, LookupError):
        plain.append("(a part could not be read)")
    text = "\n".join(plain) if any(part.strip() for part in plain) else "\n".join(rich)
    return _BLANKS.sub("\n\n", text.replace("\r\n", "\n").replace("\x00", "")).strip() or "(no text)"


def _content(part: Message) -> str:
    payload = part.get_payload(decode=True)
    if not isinstance(payload, bytes):
        return ""
    charset = part.get_content_charset() or "utf-8"
    try:
        return payload.decode(charset, "replace")
    except LookupError:
        return payload.decode("utf-8", "replace")


class _Stripper(HTMLParser):
    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.parts: list[str] = []
        self._hidden = 0

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag in ("script", "style", "head"):
            self._hidden += 1
        elif tag in ("br", "p", "div", "tr", "li"):
            self.parts.append("\n")

    def handle_endtag(self, tag: str) -> None:
        if tag in ("script", "style", "head") and self._hidden:
            self._hidden -= 1

    def handle_data(self, data: str) -> None:
        if not self._hidden:
            self.parts.append(data)


def _strip(text: str) -> str:
    stripper = _Stripper()
    stripper.feed(text)
    stripper.close()
    return html.unescape("".join(stripper.parts))
