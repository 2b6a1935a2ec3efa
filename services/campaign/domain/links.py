"""Signed links that a message carries, and which addresses they may lead to.

A token names what it is for and is signed for that use alone: one for a link says nothing as an unsubscription. The
address of a static link stays with us (found by the link's number); one with parts of its recipient's own is in the
token, under the signature, so that nobody can make us redirect to a place of their choosing.

Form: base64url without padding of `body || code`, code: the first 10 bytes of HMAC-SHA-256 under the key of the
installation and the use. Bodies: link: message id (16 bytes), number (2), url (UTF-8, or nothing); open: message id;
unsubscribe: contact id, message id (zeros for none), topic (ASCII).
"""

from __future__ import annotations

import base64
import binascii
import re
from dataclasses import dataclass
from typing import Protocol
from urllib.parse import quote, urlsplit
from uuid import UUID

from services.campaign.domain.ids import RuleError, check_topic

MAX_URL = 2000
MAX_LINKS = 1000
MAX_TOKEN = 3000
LINK_PATH, OPEN_PATH, UNSUBSCRIBE_PATH = "/c/", "/o/", "/u/"
OPEN_SUFFIX = ".gif"
_LINK, _OPEN, _UNSUBSCRIBE = "link", "open", "unsubscribe"
_CODE_BYTES = 10
_NOBODY = UUID(int=0)
_URL_SAFE = bytes.maketrans(b"+/", b"-_")
_TOKEN = re.compile(rf"[A-Za-z0-9_-]{{20,{MAX_TOKEN}}}")
# Browsers drop tabs and line breaks from addresses and read "\" as "/": neither may hide where one leads.
_UNSAFE = re.compile(r"[\x00-\x20\x7f-\xa0\ud800-\udfff\\\"<>`{|}^\u2028\u2029]")
_SCHEMES = ("http", "https", "mailto", "tel")


class BadToken(ValueError):
    """Say that a token was not issued here, or was changed, or is for another use."""


class BadUrl(ValueError):
    """Say why an address must not be linked to."""


class Macs(Protocol):
    """Authenticate bytes for a purpose, as services.kit.signing.Signer does."""

    def mac(self, purpose: str, data: bytes) -> bytes:
        """Return the 32-byte code of data for a purpose."""
        ...

    def matches(self, purpose: str, data: bytes, code: bytes) -> bool:
        """Tell whether a code, or its first bytes, is that of data for a purpose."""
        ...


@dataclass(frozen=True, slots=True)
class Link:
    """Name a link of a message; url: None when it is the static one of that number."""

    message_id: UUID
    number: int
    url: str | None


@dataclass(frozen=True, slots=True)
class Unsubscription:
    """Name who wants no more messages on a topic, and the message that says so; None for none."""

    contact_id: UUID
    topic: str
    message_id: UUID | None


def check_url(url: str) -> str:
    """Return an address that a message may link to; raises BadUrl.

    http and https with a host and nobody's name before it, mailto and tel; at most 2,000 characters, without spaces,
    control characters, quotes, backslashes.
    """
    if len(url) > MAX_URL:
        raise BadUrl(f"a link has {len(url):,} characters; at most {MAX_URL:,} are allowed")
    if _UNSAFE.search(url):
        raise BadUrl(
            "a link holds a space, control character, quote, backslash or bracket; percent-encode it"
        )
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname, parts.port
    except ValueError as error:
        raise BadUrl("a link is no valid address") from error
    if parts.scheme not in _SCHEMES:
        raise BadUrl(f"a link has the scheme {parts.scheme[:20]!r}; use http, https, mailto or tel")
    if parts.scheme in ("http", "https"):
        if not host:
            raise BadUrl("a link names no host")
        if "@" in parts.netloc:
            raise BadUrl("a link holds a user's name before its host")
    elif not parts.path:
        raise BadUrl(f"a {parts.scheme} link names nobody")
    return url


def tidy_url(url: str) -> str:
    """Return an address made of people's data as a browser would take it: spaces and the like encoded."""
    return _UNSAFE.sub(lambda found: quote(found[0], errors="replace"), "".join(url.split("\n")).strip())


def is_web(url: str) -> bool:
    """Say whether an address leads to the web, so that a visit can be counted."""
    return url[:8].lower().startswith(("http://", "https://"))


def link_token(signer: Macs, message_id: UUID, number: int, url: str | None) -> str:
    """Return the token of a message's link.

    number: from 0, below 1,000. url: where it leads, when that is this message's alone; None for the template's static
    link of that number. Raises BadUrl, ValueError for a number out of range.
    """
    if not 0 <= number < MAX_LINKS:
        raise ValueError(f"links are numbered from 0 to {MAX_LINKS - 1}, got {number}")
    body = message_id.bytes + number.to_bytes(2, "big")
    return _signed(signer, _LINK, body if url is None else body + check_url(url).encode())


def open_token(signer: Macs, message_id: UUID) -> str:
    """Return the token of a message's open pixel."""
    return _signed(signer, _OPEN, message_id.bytes)


def unsubscribe_token(signer: Macs, contact_id: UUID, topic: str, message_id: UUID | None) -> str:
    """Return the token by which a contact ends the messages on a topic; raises RuleError for a malformed topic."""
    body = contact_id.bytes + (message_id or _NOBODY).bytes + check_topic(topic).encode()
    return _signed(signer, _UNSUBSCRIBE, body)


def read_link(signer: Macs, token: str) -> Link:
    """Return what a link's token says; raises BadToken."""
    body = _body(signer, _LINK, token)
    if len(body) < 18:
        raise _bad()
    number = int.from_bytes(body[16:18], "big")
    try:
        url = check_url(body[18:].decode()) if len(body) > 18 else None
    except ValueError as error:
        raise _bad() from error
    if number >= MAX_LINKS:
        raise _bad()
    return Link(UUID(bytes=body[:16]), number, url)


def read_open(signer: Macs, token: str) -> UUID:
    """Return the message whose pixel was asked for; raises BadToken."""
    body = _body(signer, _OPEN, token)
    if len(body) != 16:
        raise _bad()
    return UUID(bytes=body)


def read_unsubscribe(signer: Macs, token: str) -> Unsubscription:
    """Return who ends the messages on which topic; raises BadToken."""
    body = _body(signer, _UNSUBSCRIBE, token)
    try:
        topic = check_topic(body[32:].decode())
    except (UnicodeDecodeError, RuleError) as error:
        raise _bad() from error
    message_id = UUID(bytes=body[16:32])
    return Unsubscription(UUID(bytes=body[:16]), topic, None if message_id == _NOBODY else message_id)


def _signed(signer: Macs, use: str, body: bytes) -> str:
    code = signer.mac(use, body)[:_CODE_BYTES]
    return binascii.b2a_base64(body + code, newline=False).translate(_URL_SAFE, b"=").decode()


def _body(signer: Macs, use: str, token: str) -> bytes:
    if not _TOKEN.fullmatch(token):
        raise _bad()
    try:
        raw = base64.urlsafe_b64decode(token + "=" * (-len(token) % 4))
    except (binascii.Error, ValueError) as error:
        raise _bad() from error
    # base64 leaves unused bits in its last character, so one token would have several spellings.
    if base64.urlsafe_b64encode(raw).rstrip(b"=").decode() != token:
        raise _bad()
    body, code = raw[:-_CODE_BYTES], raw[-_CODE_BYTES:]
    if len(code) != _CODE_BYTES or not signer.matches(use, body, code):
        raise _bad()
    return body


def _bad() -> BadToken:
    return BadToken("the link was not made here, or it was changed")
