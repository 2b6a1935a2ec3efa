"""Laws of the sales domain."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from fractions import Fraction
from uuid import UUID

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.sales import domain
from services.sales.domain import Amount, Line, Order, Payment, Return, RuleError

NOW = datetime(2026, 3, 1, tzinfo=UTC)
ANNA = UUID(int=1)

quantities = st.decimals(min_value="0.000001", max_value=10**6, places=6, allow_nan=False)
prices = st.decimals(min_value=0, max_value=10**6, places=9, allow_nan=False)


def make_line(code: str = "A", quantity: str = "1", price: str = "2.5") -> Line:
    count, value = domain.parse_quantity(quantity), Decimal(price).quantize(domain.NANO)
    return Line(code, count, value, domain.multiply(count, value))


def make_order(*lines: Line, **changes: object) -> Order:
    chosen = lines or (make_line(),)
    order = Order(
        contact_id=ANNA,
        source="shop",
        external_id="1",
        order_time=NOW,
        currency="GBP",
        lines=chosen,
        total=domain.add(line.amount for line in chosen),
    )
    return replace(order, **changes)  # type: ignore[arg-type]


@settings(deadline=None)
@given(quantity=quantities, price=prices)
def test_product_is_exact_or_refused(quantity: Decimal, price: Decimal) -> None:
    exact = Fraction(quantity) * Fraction(price)
    try:
        amount = domain.multiply(quantity, price)
    except RuleError:
        assert (exact * 10**9).denominator != 1
    else:
        assert Fraction(amount) == exact
        assert -amount.as_tuple().exponent == 9  # type: ignore[operator]


@settings(deadline=None)
@given(st.lists(st.decimals(min_value=0, max_value=10**9, places=9, allow_nan=False), max_size=40))
def test_sum_is_exact(amounts: list[Decimal]) -> None:
    assert Fraction(domain.add(amounts)) == sum(map(Fraction, amounts), Fraction(0))


@settings(deadline=None)
@given(units=st.integers(-(10**15) + 1, 10**15 - 1), nanos=st.integers(-999_999_999, 999_999_999))
def test_units_and_nanos_make_the_value(units: int, nanos: int) -> None:
    if units * nanos < 0:
        with pytest.raises(RuleError, match="same sign"):
            domain.parse_value(units, nanos, signed=True)
        return
    value = domain.parse_value(units, nanos, signed=True)
    assert Fraction(value) == units + Fraction(nanos, 10**9)
    if value < 0:
        with pytest.raises(RuleError, match="negative"):
            domain.parse_value(units, nanos)


@pytest.mark.parametrize("units", [10**15, -(10**15), 2**63 - 1])
def test_absurd_amounts_are_refused(units: int) -> None:
    with pytest.raises(RuleError, match="limit"):
        domain.parse_value(units, 0, signed=True)


def test_amounts_beyond_the_limit_are_refused_after_multiplication_and_addition() -> None:
    with pytest.raises(RuleError, match="limit"):
        domain.multiply(Decimal(10**8), Decimal(10**7))
    with pytest.raises(RuleError, match="limit"):
        domain.add([Decimal(5 * 10**14), Decimal(5 * 10**14)])


@pytest.mark.parametrize(
    "text",
    [
        "",
        " 1",
        "1 ",
        "+1",
        "1.",
        ".5",
        "1e3",
        "NaN",
        "Infinity",
        "0x1",
        "1,5",
        "1_000",
        "1.1234567",
        "٣",
        "-",
        "--1",
    ],
)
def test_malformed_quantities_are_refused(text: str) -> None:
    for signed in (False, True):
        with pytest.raises(RuleError, match="plain decimal"):
            domain.parse_quantity(text, signed=signed)


@pytest.mark.parametrize(
    ("text", "problem"), [("0", "zero"), ("0.000000", "zero"), ("-1", "zero"), ("1000000000001", "limit")]
)
def test_quantities_out_of_bounds_are_refused(text: str, problem: str) -> None:
    with pytest.raises(RuleError, match=problem):
        domain.parse_quantity(text)


def test_signed_quantities_are_for_those_who_ask() -> None:
    assert domain.parse_quantity("-1.5", signed=True) == Decimal("-1.5")
    assert domain.parse_quantity("0", signed=True) == 0


@pytest.mark.parametrize("code", ["", "gbp", "GB", "GBPX", "G1P", "ĐVN"])
def test_currencies_of_another_form_are_refused(code: str) -> None:
    with pytest.raises(RuleError, match="ISO 4217"):
        domain.parse_currency(code)


def test_times_are_bounded() -> None:
    latest = NOW + timedelta(days=1)
    assert domain.check_time(latest, NOW) == latest
    assert domain.check_time(domain.EARLIEST, NOW) == domain.EARLIEST
    with pytest.raises(RuleError, match="after the business time"):
        domain.check_time(latest + timedelta(microseconds=1), NOW)
    with pytest.raises(RuleError, match="before 1900"):
        domain.check_time(domain.EARLIEST - timedelta(microseconds=1), NOW)


@pytest.mark.parametrize("text", ["a\x00b", "  ", "\t"])
def test_texts_that_cannot_be_stored_or_seen_are_refused(text: str) -> None:
    with pytest.raises(RuleError):
        domain.check_text(text)


def test_spelling_of_numbers_does_not_change_the_content() -> None:
    one = make_order(make_line(quantity="1", price="2.5"))
    assert one.content_hash == make_order(make_line(quantity="1.000", price="2.500")).content_hash


def test_historical_source_and_id_are_not_content() -> None:
    one = make_order()
    assert replace(one, historical=True).content_hash == one.content_hash


@pytest.mark.parametrize(
    "changes",
    [
        {"contact_id": UUID(int=2)},
        {"order_time": NOW + timedelta(microseconds=1)},
        {"currency": "USD"},
        {"coupon_code": "X"},
        {"lines": [make_line("B")]},
        {"lines": [make_line(), make_line()]},
        {"lines": [make_line(quantity="2")]},
        {"lines": [make_line(price="2.500000001")]},
    ],
)
def test_whatever_happened_otherwise_is_other_content(changes: dict[str, object]) -> None:
    assert make_order(**changes).content_hash != make_order().content_hash


def test_line_texts_cannot_run_into_each_other() -> None:
    one = make_order(make_line("A"), make_line("BA"))
    other = make_order(make_line("AB"), make_line("A"))
    assert one.content_hash != other.content_hash


def test_contents_of_returns_and_payments() -> None:
    back = Return(
        contact_id=ANNA,
        order_id=None,
        source="shop",
        external_id="1",
        return_time=NOW,
        currency="GBP",
        lines=[make_line()],
        total=Decimal("2.5"),
    )
    paid = Payment(
        contact_id=ANNA,
        order_id=None,
        source="shop",
        external_id="1",
        pay_time=NOW,
        amount=Amount("GBP", Decimal("1.000000000")),
        method="card",
    )
    digests = {
        back.content_hash,
        replace(back, order_id=UUID(int=3)).content_hash,
        replace(back, return_time=NOW - timedelta(days=1)).content_hash,
        paid.content_hash,
        replace(paid, order_id=UUID(int=3)).content_hash,
        replace(paid, method="cash").content_hash,
        replace(paid, amount=Amount("GBP", Decimal("1.000000001"))).content_hash,
        replace(paid, amount=Amount("EUR", Decimal("1.000000000"))).content_hash,
    }
    assert len(digests) == 8


@settings(deadline=None)
@given(st.lists(st.tuples(st.sampled_from("abc"), st.sampled_from("12")), max_size=12))
def test_distinct_keeps_the_first_of_each_key_and_reports_the_others(items: list[tuple[str, str]]) -> None:
    orders = [make_order(external_id=key, coupon_code=content) for key, content in items]
    batch = domain.distinct(orders)
    first = {key: index for index, (key, _) in reversed(list(enumerate(items)))}
    assert batch.indexes == {("shop", key): index for key, index in first.items()}
    assert batch.clashes == [
        (first[key], index) for index, (key, content) in enumerate(items) if items[first[key]][1] != content
    ]


def test_main_category_is_of_the_greatest_amount_and_the_first_among_equals() -> None:
    lines = [make_line("A", price="1"), make_line("B", price="9"), make_line("C", price="9")]
    categories = {"A": "shoes", "B": "hats", "C": "bags"}
    assert domain.main_category(lines, categories) == "hats"
    assert domain.main_category(lines, categories | {"B": ""}) == ""
