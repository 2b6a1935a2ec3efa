"""A contact's bucket: a share of all contacts that is even, and the same at any time and in every engine.

The first 6 bytes of SHA-256 over the salt (UTF-8, NFC) and the 16 bytes of the contact's id, read as a
big-endian number u below 2**48, give the bucket ``u * count // 2**48``. So the buckets of one salt nest:
``bucket("x", 1000) / 10 == bucket("x", 100)``.
"""

from __future__ import annotations

import hashlib
import unicodedata
from uuid import UUID

DEFAULT_BUCKETS = 100
MAX_BUCKETS = 10_000
BUCKET_BYTES = 6


def salt_bytes(salt: str) -> bytes:
    """Return what of a salt is hashed."""
    return unicodedata.normalize("NFC", salt).encode()


def bucket_of(salt: str, count: int, contact_id: UUID) -> int:
    """Return the bucket, from 0 to ``count - 1``."""
    digest = hashlib.sha256(salt_bytes(salt) + contact_id.bytes).digest()
    return int.from_bytes(digest[:BUCKET_BYTES]) * count >> 8 * BUCKET_BYTES
