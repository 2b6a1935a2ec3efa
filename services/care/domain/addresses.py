"""The addresses that care takes mail for, and what their local parts say.

`reply+<token>` continues what the token names; `u+<topic>.<token>` asks to be left alone; `care`, `support` and
`postmaster` open a case. Tokens are signed elsewhere; here they are only told apart.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

OPEN_TO_ALL = ("care", "support", "postmaster")
_TOPIC = re.compile(r"[a-z0-9_-]{1,16}\Z")  # with a token of 45 characters the local part stays within 64


@dataclass(frozen=True, slots=True)
class Reply:
    """Hold the token of an address that continues something."""

    token: str


@dataclass(frozen=True, slots=True)
class Unsubscribe:
    """Hold topic and token of an address that asks to be left alone."""

    topic: str
    token: str


@dataclass(frozen=True, slots=True)
class NewCase:
    """Stand for an address that opens a case."""


Target = Reply | Unsubscribe | NewCase


def parse_recipient(address: str, domain: str) -> Target | None:
    """Tell what an envelope recipient stands for; None when care takes no mail for it."""
    local, _, host = address.strip().strip("<>").lower().rpartition("@")
    if host != domain.lower():
        return None
    prefix, plus, rest = local.partition("+")
    if not plus:
        return NewCase() if local in OPEN_TO_ALL else None
    if prefix == "reply":
        return Reply(rest)
    if prefix == "u":
        topic, _, token = rest.partition(".")
        if _TOPIC.match(topic) and token:
            return Unsubscribe(topic, token)
    return None
