"""Exact amounts: split without losing anything, and written as people and programs read them."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import ROUND_HALF_EVEN, Context, Decimal

EXACT = Context(prec=80)
"""Wide enough for any sum of stored amounts; the default context rounds at 28 digits in silence."""
_SCALE = 9


def split(amount: Decimal, parts: int) -> list[Decimal]:
    """Return so many parts that differ by a billionth of a unit at most and add up to the amount; greater ones first.

    amount: with at most 9 decimal places; a negative one is split as its opposite is.
    """
    whole = int(EXACT.scaleb(amount, _SCALE))
    share, rest = divmod(abs(whole), parts)
    sign = -1 if whole < 0 else 1
    return [EXACT.scaleb(Decimal(sign * (share + (index < rest))), -_SCALE) for index in range(parts)]


def plain(amount: Decimal) -> str:
    """Return an amount without exponent and trailing zeros."""
    text = format(amount, "f")
    text = text.rstrip("0").rstrip(".") if "." in text else text
    return "0" if text in ("-0", "") else text


def total(amounts: Sequence[Decimal]) -> Decimal:
    """Return the exact sum."""
    found = Decimal(0)
    for amount in amounts:
        found = EXACT.add(found, amount)
    return found


def ratio(amount: Decimal, base: Decimal) -> str:
    """Return a quotient rounded to 4 places; "" when there is nothing to divide by."""
    if not base:
        return ""
    quotient = EXACT.divide(amount, base)
    return plain(quotient.quantize(Decimal("0.0001"), ROUND_HALF_EVEN, EXACT))
