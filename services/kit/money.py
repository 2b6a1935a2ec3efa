"""Exact money between Decimal and rapport.type.v1.Money."""

from __future__ import annotations

from decimal import Decimal

import rapport_client
from rapport.type.v1.money_pb2 import Money

from services.kit.errors import InvalidArgument


def to_money(amount: Decimal, currency_code: str) -> Money:
    """Return the message of an amount; raises InvalidArgument (INVALID_MONEY) when it cannot hold it exactly.

    It holds 9 decimal places and 64-bit units; the currency is three capital letters.
    """
    try:
        return rapport_client.to_money(amount, currency_code)
    except ValueError as error:
        raise InvalidArgument(str(error), reason="INVALID_MONEY") from error


def from_money(money: Money, field: str = "amount") -> Decimal:
    """Return the exact amount of a message.

    Raises InvalidArgument (INVALID_MONEY), which names the field, for a currency of another form, nanos out
    of bounds, or units and nanos of different signs.
    """
    try:
        return rapport_client.from_money(money)
    except ValueError as error:
        raise InvalidArgument.field(field, str(error), reason="INVALID_MONEY") from error
