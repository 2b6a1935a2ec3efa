"""Identities: by which a contact is known on a channel."""

from __future__ import annotations

import re
from enum import IntEnum
from typing import NamedTuple

from services.contacts.domain import codes
from services.contacts.domain.email import normal_email
from services.contacts.domain.errors import Refused
from services.contacts.domain.phone import normal_phone
from services.contacts.domain.text import clean_line

LONGEST_VALUE = 320


class IdentityType(IntEnum):
    """Name the kind of an identity; the numbers are those of the API."""

    EMAIL = 1
    PHONE = 2
    WEB_VISITOR = 3
    ZALO = 4
    QQ = 5
    WECOM = 6
    EXTERNAL = 7


class Identity(NamedTuple):
    """Hold an identity in its normal form; it belongs to one contact at a time.

    type: a number of IdentityType; source: the system of an external id, else empty.
    """

    type: int
    source: str
    value: str


_QQ = re.compile(r"[1-9][0-9]{4,11}")
_TYPES = {member.value: member for member in IdentityType}

# The identity type whose first value is a contact's address on a channel; other channels are external
# systems.
_ADDRESS_TYPES = {
    "email": IdentityType.EMAIL,
    "phone": IdentityType.PHONE,
    "sms": IdentityType.PHONE,
    "zalo": IdentityType.ZALO,
    "qq": IdentityType.QQ,
    "wecom": IdentityType.WECOM,
    "web": IdentityType.WEB_VISITOR,
}
CHANNELS = tuple(_ADDRESS_TYPES)
"""The channels that are known here; plugins may offer others."""


def normal_identity(kind: int, source: str, value: str, default_region: str = "") -> Identity:
    """Return an identity in its normal form; raises Refused.

    default_region: where a phone number without a country code belongs.
    """
    if kind not in _TYPES:
        raise Refused("has no type; set one of TYPE_EMAIL, TYPE_PHONE and so on", field="type")
    if kind == IdentityType.EXTERNAL:
        return external(source, value)
    if source:
        raise Refused("is for external ids only; leave it empty", field="source")
    if kind == IdentityType.EMAIL:
        return Identity(1, "", normal_email(value))
    if kind == IdentityType.PHONE:
        return Identity(2, "", normal_phone(value, default_region))
    return Identity(int(kind), "", qq_number(value) if kind == IdentityType.QQ else account_id(value))


def external(source: str, value: str) -> Identity:
    """Return the identity in another system; raises Refused."""
    if not source:
        raise Refused("an external id needs the system that it belongs to, such as 'shop'", field="source")
    try:
        known = codes.source(source)
    except Refused as error:
        raise Refused(str(error), field="source") from None
    return Identity(7, known, account_id(value))


def account_id(value: str) -> str:
    """Return an account id: exact but for outer white space; raises Refused when it is empty or too long."""
    value = clean_line(value)
    if not value:
        raise Refused("must not be empty")
    if len(value) > LONGEST_VALUE:
        raise Refused(f"has {len(value)} characters; at most {LONGEST_VALUE} are allowed")
    return value


def qq_number(value: str) -> str:
    """Return a QQ number of 5 to 12 digits; raises Refused."""
    value = value.strip()
    if not _QQ.fullmatch(value):
        raise Refused("no QQ number; it has 5 to 12 digits and does not begin with 0")
    return value


def address_on(channel: str, identities: tuple[Identity, ...]) -> str:
    """Return the address on a channel: the first identity of its type, or the empty string.

    A channel that has no type of its own is reached by the external id whose source is the channel's name.
    """
    kind, source = _ADDRESS_TYPES.get(channel), ""
    if kind is None:
        kind, source = IdentityType.EXTERNAL, channel
    number = kind.value
    for one_type, one_source, value in identities:
        if one_type == number and one_source == source:
            return value
    return ""
