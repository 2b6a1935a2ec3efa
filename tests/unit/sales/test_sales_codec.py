"""Decoding names every bad field; encoding gives back what was decoded."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rapport.sales.v1 import sales_pb2

from services.kit.errors import InvalidArgument, OutOfRange
from services.sales.codec import Decoder, encode_currencies, encode_order, encode_payment, encode_return
from services.sales.store.figures import CurrencyFigures
from tests.support.sales_data import NOON, contact, goods_back, line, nameless_line, order, payment


def decoder() -> Decoder:
    return Decoder(NOON)


def violations(caught: pytest.ExceptionInfo[InvalidArgument]) -> dict[str, str]:
    return {item.field: item.description for item in caught.value.violations}


def test_every_bad_field_is_named_at_once() -> None:
    bad = order(
        "1",
        line(quantity="NaN"),
        line(price="-1"),
        line(currency="EUR"),
        time=NOON + timedelta(days=2),
        contact="contacts/1",
    )
    with pytest.raises(InvalidArgument) as caught:
        decoder().orders([order("0"), bad, order(" ")])
    found = violations(caught)
    assert found.keys() == {
        "orders[1].lines[0].quantity",
        "orders[1].lines[1].unit_price",
        "orders[1].lines[2].unit_price",
        "orders[1].order_time",
        "orders[1].contact",
        "orders[2].external_id",
    }
    assert "the first line is in GBP" in found["orders[1].lines[2].unit_price"]
    assert "and 3 more" in caught.value.message


def test_a_product_of_more_than_nine_places_is_refused_with_the_numbers() -> None:
    with pytest.raises(InvalidArgument) as caught:
        decoder().order(order("1", line(quantity="0.001", price="0.0000001")))
    assert "0.001 × 0.0000001 = 0.0000000001" in violations(caught)["order.lines[0].unit_price"]


def test_a_total_beyond_the_limit_is_refused() -> None:
    much = line(price="600000000000000")
    with pytest.raises(InvalidArgument, match="limit"):
        decoder().order(order("1", much, much))


@pytest.mark.parametrize("amount", ["0", "-5"])
def test_payments_must_be_positive(amount: str) -> None:
    with pytest.raises(InvalidArgument) as caught:
        decoder().payments([payment(amount=amount)])
    assert violations(caught) == {"payments[0].amount": "must be greater than zero"}


def test_returns_and_nameless_lines_name_their_fields() -> None:
    with pytest.raises(InvalidArgument) as caught:
        decoder().returns([goods_back("1", line(quantity="-1"), order="orders/x")])
    assert violations(caught).keys() == {"returns[0].lines[0].quantity", "returns[0].order"}
    with pytest.raises(InvalidArgument) as caught:
        decoder().unattributed(
            [nameless_line(), nameless_line(quantity="many", time=NOON - timedelta(days=50_000))]
        )
    assert violations(caught).keys() == {"lines[1].quantity", "lines[1].occur_time"}


def test_nameless_lines_may_be_negative() -> None:
    [decoded] = decoder().unattributed([nameless_line(quantity="-9600", price="-11062.06")])
    assert (decoded.quantity, decoded.unit_price.value) == (Decimal(-9600), Decimal("-11062.06"))


@settings(deadline=None)
@given(
    quantity=st.decimals(min_value="0.001", max_value=10**5, places=3),
    price=st.decimals(min_value=0, max_value=10**5, places=6),
    delay=st.timedeltas(min_value=timedelta(days=-20_000), max_value=timedelta(days=1)),
)
def test_what_was_decoded_is_given_back(quantity: Decimal, price: Decimal, delay: timedelta) -> None:
    item = line(quantity=format(quantity, "f"), price=str(price))
    given_order = order("7", item, time=NOON + delay, coupon_code="C", historical=True)
    encoded = encode_order(decoder().order(given_order))
    assert Decimal(encoded.lines[0].quantity) == quantity
    assert encoded.lines[0].amount == encoded.total
    encoded.ClearField("total")
    encoded.lines[0].ClearField("amount")
    encoded.lines[0].quantity = given_order.lines[0].quantity
    assert encoded == given_order


def test_returns_and_payments_are_given_back() -> None:
    owner = contact()
    back = goods_back("1", contact=owner, order="orders/01890000-0000-7000-8000-000000000000")
    encoded = encode_return(decoder().returns([back])[0])
    assert (encoded.contact, encoded.order, encoded.total.units) == (owner, back.order, 2)
    paid = payment("1", "12.000000001", order=back.order)
    assert encode_payment(decoder().payments([paid])[0]) == paid


def test_sums_beyond_the_message_are_no_fault_of_the_caller() -> None:
    figures = CurrencyFigures("GBP", Decimal(2**63), Decimal(0), Decimal(0))
    with pytest.raises(OutOfRange) as caught:
        encode_currencies([figures])
    assert caught.value.reason == "SUM_TOO_LARGE"


def test_an_order_without_lines_is_refused() -> None:
    empty = sales_pb2.Order(contact=contact(), source="shop", external_id="1")
    empty.order_time.FromDatetime(NOON)
    with pytest.raises(InvalidArgument) as caught:
        decoder().order(empty)
    assert violations(caught).keys() == {"order.lines"}
