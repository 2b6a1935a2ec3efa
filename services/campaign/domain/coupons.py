"""Coupon codes that cannot be guessed, and when one may be redeemed.

A code is the pool's prefix, 13 random characters of Crockford's base 32 (65 bits) and a check character (Luhn modulo
32), which tells most typing mistakes from codes of others without asking the database.
"""

from __future__ import annotations

import re
import secrets
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from services.campaign.domain.ids import RuleError

ALPHABET = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
RANDOM_LENGTH = 13
_VALUES = {character: value for value, character in enumerate(ALPHABET)}
_MISTAKEN = str.maketrans({"O": "0", "I": "1", "L": "1"})
_IMPORTED = re.compile(r"[!-~]{1,64}")
_MIN_IMPORTED = 4
_PREFIX = re.compile(r"[A-Z0-9]{0,10}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Pool:
    """Hold a pool of coupons; imported: its codes were uploaded, it makes none. Counts are filled when it is read."""

    id: str
    display_name: str
    prefix: str
    expire_time: datetime | None
    personal: bool
    create_time: datetime
    imported: bool = False
    issued_count: int = 0
    redeemed_count: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Coupon:
    """Hold an issued coupon."""

    code: str
    pool_id: str
    contact_id: UUID | None
    message_id: UUID
    issue_time: datetime
    redeem_time: datetime | None
    order_id: UUID | None
    imported: bool = False


class NotRedeemable(Exception):
    """Say why a coupon is not redeemed; reason: such as COUPON_EXPIRED."""

    def __init__(self, reason: str, description: str) -> None:
        super().__init__(description)
        self.reason = reason


def check_prefix(text: str) -> str:
    """Return a prefix of codes; raises RuleError when it is malformed."""
    if not _PREFIX.fullmatch(text):
        raise RuleError(f"{text[:20]!r}: write at most 10 capital letters and digits")
    return text


def new_code(prefix: str) -> str:
    """Make a code."""
    body = "".join(secrets.choice(ALPHABET) for _ in range(RANDOM_LENGTH))
    return prefix + body + check_character(body)


def check_character(body: str) -> str:
    """Return the check character of the random part: Luhn modulo 32, over the alphabet's values."""
    total = 0
    for place, character in enumerate(reversed(body)):
        value = _VALUES[character]
        if place % 2 == 0:
            value = sum(divmod(value * 2, 32))
        total += value
    return ALPHABET[-total % 32]


def key_of(code: str) -> str | None:
    """Return what a typed code is looked up by, or None when it cannot be one.

    Case, spaces and dashes do not count; O is read as 0, I and L as 1.
    """
    key = re.sub(r"[\s-]", "", code).upper().translate(_MISTAKEN)
    body, check = key[-RANDOM_LENGTH - 1 : -1], key[-1:]
    if len(body) != RANDOM_LENGTH or not set(body) <= _VALUES.keys() or check_character(body) != check:
        return None
    return key


def check_imported(code: str) -> str:
    """Return an uploaded code; raises RuleError when it is malformed."""
    if not _IMPORTED.fullmatch(code) or len(_plain_key(code)) < _MIN_IMPORTED:
        raise RuleError(
            f"{code[:70]!r} is no code: write {_MIN_IMPORTED} to 64 letters, digits and signs of ASCII, without spaces"
        )
    return code


def lookup_key(code: str) -> str | None:
    """Return what any code, of ours or uploaded, is looked up by; None when it cannot be one.

    Of an uploaded code, case, spaces and dashes do not count either; its letters are not taken for digits.
    """
    key = key_of(code)
    if key is None:
        key = _plain_key(code)
    return key if len(key) >= _MIN_IMPORTED else None


def _plain_key(code: str) -> str:
    return re.sub(r"[\s-]", "", code).upper()


def decide(coupon: Coupon, pool: Pool, *, contact_id: UUID | None, order_id: UUID, time: datetime) -> bool:
    """Say whether a coupon is redeemed now: True for yes, False when it was for this very order before.

    Raises NotRedeemable.
    """
    if coupon.redeem_time is not None and coupon.order_id == order_id:
        return False
    if pool.personal and contact_id != coupon.contact_id:
        raise NotRedeemable("COUPON_OF_ANOTHER_CONTACT", "it was issued to another contact")
    if coupon.redeem_time is not None:
        raise NotRedeemable("COUPON_REDEEMED", "it was redeemed for another order already")
    if pool.expire_time is not None and time >= pool.expire_time:
        raise NotRedeemable("COUPON_EXPIRED", f"it expired at {pool.expire_time.isoformat()}")
    return True
