"""The normal form of e-mail addresses."""

from __future__ import annotations

import re
import unicodedata
from functools import lru_cache

import email_validator

from services.contacts.domain.errors import Refused

# Addresses that need no closer look once their domain is known to be good: dot-atoms of the common
# characters.
_PLAIN = re.compile(r"[a-z0-9_+-]+(?:\.[a-z0-9_+-]+)*")
_LONGEST_LOCAL, _LONGEST = 64, 254


def normal_email(text: str) -> str:
    """Return an address in its normal form: NFC, lower case, the domain in Unicode; raises Refused.

    The syntax alone is checked, no name server is asked. Addresses under `.test` are allowed, as shops and
    demos in test use them; other special-use domains (RFC 6761) are refused. Lower case includes the part
    before the @, as no mail system in use tells people apart by it.
    """
    address = text.strip().lower()
    if address.isascii() and len(address) <= _LONGEST:
        local, _, domain = address.partition("@")
        if len(local) <= _LONGEST_LOCAL and _PLAIN.fullmatch(local) and _plain_domain(domain):
            return address
    return _checked(address)


@lru_cache(maxsize=65_536)
def _plain_domain(domain: str) -> bool:
    """Tell whether the library takes a domain as it stands; files repeat few domains millions of times."""
    try:
        return _validate(f"a@{domain}") == f"a@{domain}"
    except email_validator.EmailNotValidError:
        return False


def _validate(address: str) -> str:
    return email_validator.validate_email(
        address, check_deliverability=False, test_environment=True, strict=True
    ).normalized


def _checked(address: str) -> str:
    try:
        # Lower case may leave NFC, and a domain in Punycode turns into letters that have a lower
        # case of their own.
        normal = unicodedata.normalize("NFC", _validate(unicodedata.normalize("NFC", address)).lower())
        again = unicodedata.normalize("NFC", _validate(normal).lower())
    except email_validator.EmailNotValidError as error:
        raise Refused(f"no valid e-mail address: {error}") from None
    if again != normal:
        raise Refused("no valid e-mail address: it has no stable lower-case form")
    return normal
