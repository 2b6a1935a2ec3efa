"""The form of ids and topics that people choose."""

from __future__ import annotations

import re

_ID = re.compile(r"[a-z][a-z0-9_-]{0,62}")
_TOPIC = re.compile(r"[a-z][a-z0-9_]{0,15}")  # it is part of the address by which people unsubscribe
_CONTROL = re.compile(r"[\x00-\x1f\x7f\u0085\u2028\u2029]")
TRANSACTIONAL = "transactional"


class RuleError(ValueError):
    """Say why a value is refused and what would be right; field: the path below the message at fault."""

    def __init__(self, description: str, field: str = "") -> None:
        super().__init__(description)
        self.field = field


def check_id(text: str) -> str:
    """Return an id that a person chose; raises RuleError when it is malformed."""
    if not _ID.fullmatch(text):
        raise RuleError(
            f"{text[:70]!r} is no id: write 1 to 63 lower-case letters, digits, '-' and '_', with a letter first"
        )
    return text


def check_topic(text: str) -> str:
    """Return a topic; raises RuleError when it is malformed."""
    if not _TOPIC.fullmatch(text):
        raise RuleError(
            f"{text[:50]!r} names no topic: write at most 16 lower-case letters, digits and '_', like 'marketing'"
        )
    return text


def check_line(text: str) -> str:
    """Return a text for one line of a header; raises RuleError for line breaks and control characters."""
    if _CONTROL.search(text):
        raise RuleError("must not hold a line break or control character")
    return text


def one_line(text: str) -> str:
    """Return a rendered text as one line: what would break a header becomes a space."""
    return " ".join(_CONTROL.sub(" ", text).split())
