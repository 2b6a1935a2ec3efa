"""Exact money: rapport.type.v1.Money from and to Decimal."""

from __future__ import annotations

import re
from decimal import Context, Decimal

from rapport.type.v1.money_pb2 import Money

_CURRENCY = re.compile(r"[A-Z]{3}")
_NANO = Decimal(1_000_000_000)
_LIMIT = 1 << 63
# Wide enough for 19 digits of units and 9 of nanos; the default context rounds at 28 in silence.
_EXACT = Context(prec=60)


def to_money(amount: Decimal, currency_code: str) -> Money:
    """Return the message of an amount.

    Raises ValueError when the amount is not finite, has more than 9 decimal places or more than 64-bit units,
    or when the currency is not three capital letters.
    """
    if not _CURRENCY.fullmatch(currency_code):
        raise ValueError(f"currency {currency_code!r}: expected three capital letters, such as VND")
    if not amount.is_finite():
        raise ValueError(f"amount {amount}: expected a finite number")
    if abs(amount.adjusted()) > 40:
        if amount:
            raise ValueError(f"amount {amount}: outside of what money can hold")
        amount = Decimal(0)
    nanos_in_all = _EXACT.multiply(amount, _NANO)
    whole = int(nanos_in_all)
    if nanos_in_all != whole:
        raise ValueError(f"amount {amount}: more than 9 decimal places")
    units, nanos = divmod(abs(whole), 1_000_000_000)
    sign = -1 if whole < 0 else 1
    if not -_LIMIT <= sign * units < _LIMIT:
        raise ValueError(f"amount {amount}: outside of what money can hold")
    return Money(currency_code=currency_code, units=sign * units, nanos=sign * nanos)


def from_money(money: Money) -> Decimal:
    """Return the exact amount.

    Raises ValueError for a bad currency form, bad nanos, or units and nanos of mixed signs.
    """
    if not _CURRENCY.fullmatch(money.currency_code):
        raise ValueError(f"currency {money.currency_code!r}: expected three capital letters, such as VND")
    if abs(money.nanos) > 999_999_999:
        raise ValueError(f"nanos {money.nanos}: expected -999,999,999 to 999,999,999")
    if money.units > 0 > money.nanos or money.units < 0 < money.nanos:
        raise ValueError(f"units {money.units} and nanos {money.nanos} have different signs")
    whole = money.units * 1_000_000_000 + money.nanos
    return _EXACT.scaleb(Decimal(whole), -9)
