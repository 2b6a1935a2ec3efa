"""Money is exact in both directions."""

from __future__ import annotations

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rapport.type.v1.money_pb2 import Money

from services.kit.errors import InvalidArgument
from services.kit.money import from_money, to_money

# Every amount that the message can hold, as whole billionths.
billionths = st.integers(-(2**63) * 10**9, (2**63 - 1) * 10**9 + 999_999_999)


@given(billionths)
def test_every_amount_comes_back(whole):
    amount = Decimal(whole).scaleb(-9, context=None) if abs(whole) < 10**27 else Decimal(f"{whole}e-9")
    money = to_money(amount, "VND")
    assert from_money(money) == amount
    assert money.units * 10**9 + money.nanos == whole
    assert money.units * money.nanos >= 0


@pytest.mark.parametrize(
    ("text", "units", "nanos"),
    [
        ("0", 0, 0),
        ("-0", 0, 0),
        ("1.1", 1, 100_000_000),
        ("-0.000000001", 0, -1),
        ("-1.75", -1, -750_000_000),
        ("1E+3", 1000, 0),
        ("9223372036854775807.999999999", 2**63 - 1, 999_999_999),
        ("0E-50", 0, 0),
    ],
)
def test_examples(text, units, nanos):
    money = to_money(Decimal(text), "GBP")
    assert (money.units, money.nanos) == (units, nanos)


@pytest.mark.parametrize(
    "text", ["NaN", "Infinity", "1e30", "9223372036854775808", "0.0000000001", "1e-40", "1e99999"]
)
def test_what_cannot_be_held_exactly_is_refused(text):
    with pytest.raises(InvalidArgument) as caught:
        to_money(Decimal(text), "VND")
    assert caught.value.reason == "INVALID_MONEY"


@pytest.mark.parametrize("currency", ["", "vnd", "VN", "VNDX", "V1D", "VND\n"])
def test_a_currency_has_three_capital_letters(currency):
    with pytest.raises(InvalidArgument):
        to_money(Decimal(1), currency)
    with pytest.raises(InvalidArgument):
        from_money(Money(currency_code=currency, units=1))


@pytest.mark.parametrize(("units", "nanos"), [(1, -1), (-1, 1), (0, 1_000_000_000), (0, -1_000_000_000)])
def test_a_malformed_message_is_refused_with_its_field(units, nanos):
    with pytest.raises(InvalidArgument) as caught:
        from_money(Money(currency_code="VND", units=units, nanos=nanos), "order.total")
    assert caught.value.violations[0].field == "order.total"
