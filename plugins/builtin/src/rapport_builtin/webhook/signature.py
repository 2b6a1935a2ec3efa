"""Signatures of the Standard Webhooks specification, version 1: HMAC-SHA-256 over id, timestamp and body."""

from __future__ import annotations

import base64
import binascii
import hmac
from collections.abc import Iterable
from hashlib import sha256

_PREFIX = "whsec_"
_SHORTEST = 24


def read_secret(text: str) -> bytes:
    """Return the key in a secret `whsec_<base64>`; raises ValueError, which does not quote it."""
    try:
        key = base64.b64decode(text.removeprefix(_PREFIX), validate=True)
    except (binascii.Error, ValueError):
        raise ValueError("a secret is not whsec_ and base64") from None
    if len(key) < _SHORTEST:
        raise ValueError(f"a secret has {len(key)} bytes; at least {_SHORTEST} are needed")
    return key


def signature(keys: Iterable[bytes], message_id: str, timestamp: int, body: bytes) -> str:
    """Return the value of `webhook-signature`: one `v1,<base64>` for each key."""
    signed = f"{message_id}.{timestamp}.".encode() + body
    return " ".join(f"v1,{base64.b64encode(hmac.digest(key, signed, sha256)).decode()}" for key in keys)
