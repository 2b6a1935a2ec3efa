"""Page tokens (AIP-158): where the next page begins, signed, and bound to the question they belong to."""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Mapping
from datetime import datetime
from decimal import Decimal
from hashlib import sha256
from typing import Any
from uuid import UUID

from google.protobuf.message import Message

from services.kit.errors import InvalidArgument
from services.kit.signing import Signer

_QUERY_BYTES = 8
_MAC_BYTES = 16
_TAGS: Mapping[str, Any] = {"t": datetime.fromisoformat, "u": UUID, "d": Decimal}


def page_size(requested: int, default: int, maximum: int) -> int:
    """Return the page size to use: the default for 0, at most the maximum.

    Raises InvalidArgument when negative.
    """
    if requested < 0:
        raise InvalidArgument.field("page_size", f"must not be negative, got {requested}")
    return min(requested or default, maximum)


def encode(position: Mapping[str, Any], query: Message | str, signer: Signer) -> str:
    """Return the token of a page that begins after `position`.

    position: str, int, float, bool, None, datetime, UUID and Decimal values; query: the request (its
    `page_token` and `page_size` do not count, so the size may change from page to page), or a text that names
    the question.
    """
    body = _question(query) + json.dumps(position, default=_tag, separators=(",", ":")).encode()
    return base64.urlsafe_b64encode(signer.mac("page", body)[:_MAC_BYTES] + body).decode().rstrip("=")


def decode(token: str, query: Message | str, signer: Signer) -> dict[str, Any] | None:
    """Return the position in a token, or None for the first page (an empty token).

    Raises InvalidArgument: INVALID_PAGE_TOKEN when it was not made here, PAGE_TOKEN_MISMATCH when it belongs
    to another query, such as one with another filter.
    """
    if not token:
        return None
    try:
        raw = base64.b64decode(token + "=" * (-len(token) % 4), altchars=b"-_", validate=True)
    except (binascii.Error, ValueError) as error:
        raise _invalid() from error
    code, body = raw[:_MAC_BYTES], raw[_MAC_BYTES:]
    if len(code) != _MAC_BYTES or not signer.matches("page", body, code):
        raise _invalid()
    if body[:_QUERY_BYTES] != _question(query):
        raise InvalidArgument.field(
            "page_token",
            "belongs to another query; ask for the first page again after a change of the request",
            reason="PAGE_TOKEN_MISMATCH",
        )
    position: dict[str, Any] = json.loads(body[_QUERY_BYTES:], object_hook=_untag)
    return position


def _question(query: Message | str) -> bytes:
    if isinstance(query, str):
        data = query.encode()
    else:
        bare = type(query)()
        bare.CopyFrom(query)
        for name in ("page_token", "page_size"):
            if name in bare.DESCRIPTOR.fields_by_name:
                bare.ClearField(name)
        data = query.DESCRIPTOR.full_name.encode() + b"\0" + bare.SerializeToString(deterministic=True)
    return sha256(data).digest()[:_QUERY_BYTES]


def _tag(value: object) -> dict[str, str]:
    match value:
        case datetime():
            return {"$t": value.isoformat()}
        case UUID():
            return {"$u": str(value)}
        case Decimal():
            return {"$d": str(value)}
    raise TypeError(f"a page position cannot hold {type(value).__name__}")


def _untag(value: dict[str, Any]) -> Any:
    if len(value) == 1:
        [(key, content)] = value.items()
        if key[:1] == "$" and key[1:] in _TAGS:
            return _TAGS[key[1:]](content)
    return value


def _invalid() -> InvalidArgument:
    return InvalidArgument.field(
        "page_token", "was not issued here; pass on next_page_token unchanged", reason="INVALID_PAGE_TOKEN"
    )
