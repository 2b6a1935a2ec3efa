"""Signed texts that leave the system and come back: reply addresses, survey links, page tokens."""

from __future__ import annotations

import base64
import binascii
import hmac
import re
from collections.abc import Iterable
from functools import lru_cache
from hashlib import sha256

from services.kit.errors import InvalidArgument

_KIND = re.compile(r"[a-z0-9]{1,8}")
_KEY_BYTES = 16
_MAC_BYTES = 10
_LEAST_BYTES = 8
_MIN_SECRET = 16
_BLOCK_BYTES = 64
_INNER, _OUTER = bytes(byte ^ 0x36 for byte in range(256)), bytes(byte ^ 0x5C for byte in range(256))

MESSAGE, CONTACT, CASE, SURVEY = "m", "u", "c", "s"
"""Kinds of tokens that several services must agree on: the key is the UUID of a message of campaign, of a contact that
unsubscribes, of a case, of a case whose customer is asked how it was."""


class Signer:
    """Sign and verify with the secret key of the installation (HMAC-SHA-256)."""

    def __init__(self, secret_key: str, accepted: Iterable[str] = ()) -> None:
        """Take the key; raises InvalidArgument (NO_SECRET_KEY) when it has fewer than 16 characters.

        accepted: other keys, with which nothing is signed, but whose codes count: a former one, or one to come.
        """
        self._accepted = tuple(Signer(key) for key in accepted)
        if len(secret_key) < _MIN_SECRET:
            raise InvalidArgument(
                f"RAPPORT_SECRET_KEY has {len(secret_key)} characters: "
                f"set it to a random text of at least {_MIN_SECRET}, the same for all processes",
                reason="NO_SECRET_KEY",
            )
        key = secret_key.encode()
        key = (sha256(key).digest() if len(key) > _BLOCK_BYTES else key).ljust(_BLOCK_BYTES, b"\0")
        # HMAC (RFC 2104) with what depends on the key hashed once: a code costs a third of a new HMAC.
        self._inner = sha256(key.translate(_INNER))
        self._outer = sha256(key.translate(_OUTER))
        # A mail shows its tokens several times: in headers, and as links of its template.
        self._tokens = lru_cache(maxsize=1024)(self._token)

    def mac(self, purpose: str, data: bytes) -> bytes:
        """Return the 32-byte authentication code of data.

        Codes for one purpose are worth nothing for another.
        """
        inner, outer = self._inner.copy(), self._outer.copy()
        inner.update(purpose.encode() + b"\0" + data)
        outer.update(inner.digest())
        return outer.digest()

    def matches(self, purpose: str, data: bytes, code: bytes) -> bool:
        """Tell whether a code, or its first 8 bytes or more, is that of data for a purpose, by any accepted key."""
        if len(code) < _LEAST_BYTES:
            return False
        own = hmac.compare_digest(code, self.mac(purpose, data)[: len(code)])
        return own or any(one.matches(purpose, data, code) for one in self._accepted)

    def sign(self, kind: str, key: bytes) -> str:
        """Return a token for a key of 16 bytes, such as a UUID's.

        kind: 1 to 8 lower-case letters or digits. The token consists of lower-case letters and digits, at
        most 56, and survives a change of case, so that with a prefix of up to 8 it fits into the local part
        of a mail address.
        """
        if not _KIND.fullmatch(kind) or len(key) != _KEY_BYTES:
            raise ValueError(
                f"sign needs a kind of 1 to 8 of a-z0-9 and a key of 16 bytes, got {kind!r}, {len(key)}"
            )
        return self._tokens(kind, key)

    def _token(self, kind: str, key: bytes) -> str:
        body = bytes([len(kind)]) + kind.encode() + key
        token = body + self.mac("token", body)[:_MAC_BYTES]
        return base64.b32encode(token).decode().rstrip("=").lower()

    def verify(self, token: str) -> tuple[str, bytes]:
        """Return kind and key of a token.

        Raises InvalidArgument (INVALID_TOKEN) when it was not signed here.
        """
        try:
            raw = base64.b32decode(token.upper() + "=" * (-len(token) % 8))
        except (binascii.Error, ValueError) as error:
            raise _invalid() from error
        body, code = raw[:-_MAC_BYTES], raw[-_MAC_BYTES:]
        if not self.matches("token", body, code):
            raise _invalid()
        length = body[0]
        # base32 leaves unused bits in its last character, so one token would have several spellings.
        if base64.b32encode(raw).decode().rstrip("=") != token.upper():
            raise _invalid()
        return body[1 : 1 + length].decode(), body[1 + length :]


def _invalid() -> InvalidArgument:
    return InvalidArgument("the token was not issued here, or it was changed", reason="INVALID_TOKEN")
