"""Take secrets and personal data out of texts and log lines.

Fields are masked by their name; texts by what they look like: access tokens, passwords in URLs, e-mail addresses, phone
numbers. A text may lose more than it had to, never less than these forms.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

MASK = "[redacted]"
_SECRET = (
    r"(?:password|passwd|passphrase|pwd|secret|token|api[_-]?key|authorization|cookie|credential|private[_-]?key"
    r"|signature)"
)
# Also as a part of a word: some write client_secret, others clientSecret.
_SECRET_KEY = re.compile(rf"{_SECRET}s?$|^secret[_.-]", re.IGNORECASE)
_PERSONAL_KEYS = frozenset(
    {
        *("email", "e_mail", "mail", "phone", "mobile", "address", "street", "address_lines", "birth_date"),
        *("emails", "phones", "phone_number", "email_address", "recipient", "recipients"),
        *("display_name", "given_name", "family_name", "full_name", "body", "text", "subject_line"),
    }
)
# Fields of each call's line, which hold nothing of a request: looking through them would cost every call.
_PLAIN_KEYS = frozenset(
    {
        *(
            "method",
            "code",
            "ms",
            "level",
            "timestamp",
            "component",
            "service",
            "role",
            "request_id",
            "trace_id",
        ),
        *("audit", "count", "logger"),
    }
)
# A match begins only where a word does, or a long text would be looked through from each of its characters.
_EMAIL = re.compile(r"(?<![^\s<>\"'=(,;:])[^\s<>\"'=(,;:]+(?:@|%40|＠)[^\s<>\"'=),;:]+", re.IGNORECASE)
_GAP = r"[ .()/\u00a0\u2010-\u2015-]{0,2}"
_OCTET = r"(?:25[0-5]|2[0-4]\d|1?\d?\d)"
_LONG_NUMBER = re.compile(
    rf"(?<![\w.-])(?!{_OCTET}(?:\.{_OCTET}){{3}}(?![\d.]))\+?\(?\d(?:{_GAP}\d){{8,14}}(?![\w-]|\.\d)"
)
_URL_PASSWORD = re.compile(r"(?<![a-z0-9+.-])([a-z][a-z0-9+.-]*://)[^\s/?#\"']*@", re.IGNORECASE)
# What stands behind the question mark of an address may be a key, whatever its name.
_URL_QUERY = re.compile(
    r"(?<![a-z0-9+.-])([a-z][a-z0-9+.-]{0,20}://[^\s?\"'<>]{1,300}\?)[^\s\"'<>]+", re.IGNORECASE
)
_PEM = re.compile(
    r"-----BEGIN [A-Z ]{0,40}PRIVATE KEY-----.*?(?:-----END [A-Z ]{0,40}PRIVATE KEY-----|\Z)", re.DOTALL
)
_SIGNED = re.compile(r"(?<![\w-])ey[\w-]{8,}\.[\w-]+(?:\.[\w-]*)?")
_SCHEME = re.compile(r"\b(bearer|basic)\s+[\w.~+/=-]+", re.IGNORECASE)
_ASSIGNED = re.compile(
    rf"""({_SECRET}[\w-]{{0,20}}["']?\s{{0,3}}(?:=|:|%3d)\s{{0,3}})"""
    r"""(?:"[^"]*"|'[^']*'|[^\s,;&"')\]}]+)""",
    re.IGNORECASE,
)
_SUSPECT = re.compile(
    rf"@|＠|%40|\d(?:{_GAP}\d){{8}}|ey[\w-]{{8}}|bearer|basic|://|-----BEGIN|{_SECRET}", re.IGNORECASE
)
_LONGEST = 100_000
_DEEP = 6


def safe_text(text: str) -> str:
    """Return a free text without what looks like a secret, an e-mail address or a phone number.

    What is longer than any honest message is cut.
    """
    if len(text) > _LONGEST:
        text = f"{text[:_LONGEST]}…"
    if _SUSPECT.search(text) is None:
        return text
    text = _PEM.sub("[private key]", text)
    text = _URL_PASSWORD.sub(rf"\1{MASK}@", text)
    text = _URL_QUERY.sub(rf"\1{MASK}", text)
    text = _SCHEME.sub(rf"\1 {MASK}", text)
    text = _SIGNED.sub("[token]", text)
    text = _ASSIGNED.sub(_assigned, text)
    return _LONG_NUMBER.sub("[number]", _EMAIL.sub(_email, text))


def mask_fields(fields: dict[str, Any]) -> dict[str, Any]:
    """Mask the fields of a log line in place, by their names and by what their texts look like."""
    for key, value in fields.items():
        if key not in _PLAIN_KEYS:
            fields[key] = _masked(key, value, 0)
    return fields


def _is_secret(key: str) -> bool:
    return key in _PERSONAL_KEYS or _SECRET_KEY.search(key) is not None


def _masked(key: str, value: Any, depth: int) -> Any:
    if key and _is_secret(key):
        return MASK
    if isinstance(value, str):
        return safe_text(value)
    if value is None or isinstance(value, bool | int | float):
        return value
    if depth >= _DEEP:
        return MASK
    if isinstance(value, Mapping):
        return {str(name): _masked(str(name), item, depth + 1) for name, item in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [_masked("", item, depth + 1) for item in value]
    if isinstance(value, bytes | bytearray | memoryview):
        return f"[{len(value)} bytes]"
    return safe_text(str(value))


def _email(match: re.Match[str]) -> str:
    # What is left of a URL whose password is masked already.
    if MASK in match[0]:
        return match[0]
    return "[email]"


def _assigned(match: re.Match[str]) -> str:
    return match[0] if MASK in match[0] else f"{match[1]}{MASK}"
