"""Every RPC of SalesService over a real port, with its errors."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any
from uuid import uuid4

import pytest
from rapport.sales.v1 import sales_pb2
from rapport_client import errors

from tests.support.sales_data import NOON, contact, goods_back, line, nameless_line, order, payment
from tests.support.stack import Served

READS: dict[str, dict[str, Any]] = {
    "get_product": {"code": "A"},
    "list_products": {},
    "get_order": {"name": f"orders/{uuid4()}"},
    "list_orders": {},
    "list_returns": {},
    "list_payments": {},
    "get_sales_summary": {},
    "get_contact_sales": {"contact": contact()},
}
WRITES: dict[str, tuple[str, dict[str, Any]]] = {
    "batch_upsert_products": ("sales.products.write", {"products": [{"code": "A"}]}),
    "place_order": ("sales.orders.write", {"order": order("perm")}),
    "batch_ingest_orders": ("sales.orders.write", {"orders": [order("perm-batch")]}),
    "batch_ingest_returns": ("sales.orders.write", {"returns": [goods_back("perm")]}),
    "batch_ingest_payments": ("sales.payments.write", {"payments": [payment("perm")]}),
    "record_unattributed_lines": ("sales.orders.write", {"lines": [nameless_line("perm")]}),
}


def fields(caught: pytest.ExceptionInfo[errors.RapportError]) -> set[str]:
    return {violation.field for violation in caught.value.violations}


def ident() -> str:
    return uuid4().hex


@pytest.mark.parametrize("method", [*READS, *WRITES])
def test_each_rpc_asks_for_its_permission_and_no_more(served: Served, method: str) -> None:
    permission, arguments = WRITES.get(method, ("sales.read", READS.get(method, {})))
    with pytest.raises(errors.Unauthenticated):
        getattr(served.client_with(token="wrong"), method)(**arguments)
    every = {"sales.read", "sales.products.write", "sales.orders.write", "sales.payments.write"}
    with pytest.raises(errors.PermissionDenied):
        getattr(served.client_with(*(every - {permission})), method)(**arguments)
    try:
        getattr(served.client_with(permission), method)(**arguments)
    except errors.NotFound:
        assert method == "get_order"


def test_batch_upsert_products(sales: Any) -> None:
    code = ident()
    done = sales.batch_upsert_products(products=[{"code": code, "title": "t"}, {"code": f"{code}2"}])
    assert (done.created_count, done.updated_count) == (2, 0)
    done = sales.batch_upsert_products(products=[{"code": code, "category": "c"}, {"code": f"{code}2"}])
    assert (done.created_count, done.updated_count) == (0, 1)
    product = sales.get_product(code=code).product
    assert (product.title, product.category) == ("t", "c")


@pytest.mark.parametrize(
    ("products", "field"),
    [
        ([], "products"),
        ([{"code": ""}], "products[0].code"),
        ([{"code": "x" * 101}], "products[0].code"),
        ([{"code": "n1"}, {"code": "n2", "title": "t" * 501}], "products[1].title"),
        ([{"code": "n1"}, {"code": "n1"}], "products[1].code"),
        ([{"code": " "}], "products[0].code"),
        ([{"code": str(number)} for number in range(5001)], "products"),
    ],
)
def test_batch_upsert_products_refuses(sales: Any, products: list[dict[str, str]], field: str) -> None:
    with pytest.raises(errors.InvalidArgument) as caught:
        sales.batch_upsert_products(products=products)
    assert fields(caught) == {field}
    with pytest.raises(errors.NotFound):
        sales.get_product(code="n1")


def test_get_product(sales: Any) -> None:
    product = sales.get_product(code="A").product
    assert product.name.startswith("products/")
    assert (product.code, product.title, product.category) == ("A", "Boot", "shoes")
    with pytest.raises(errors.NotFound) as caught:
        sales.get_product(code="a")
    assert caught.value.reason == "PRODUCT_NOT_FOUND"


def test_list_products(sales: Any) -> None:
    sales.batch_upsert_products(products=[{"code": f"list-{number}"} for number in range(5)])
    codes = [product.code for product in sales.list_products.iterate(page_size=2)]
    assert codes == sorted(codes)
    assert {f"list-{number}" for number in range(5)} <= set(codes)
    with pytest.raises(errors.InvalidArgument) as caught:
        sales.list_products(page_token="bogus")
    assert caught.value.reason == "INVALID_PAGE_TOKEN"
    with pytest.raises(errors.InvalidArgument):
        sales.list_products(page_size=1001)


def test_place_order(sales: Any) -> None:
    message = order(ident(), line("A", "2", "1.255"), line("B", "0.5", "3"), coupon_code="MAY")
    placed = sales.place_order(order=message).order
    assert placed.name.startswith("orders/")
    assert (placed.total.units, placed.total.nanos, placed.total.currency_code) == (4, 10_000_000, "GBP")
    assert [item.amount.units for item in placed.lines] == [2, 1]
    assert placed.create_time.ToDatetime() == (NOON + timedelta(hours=1)).replace(tzinfo=None)
    assert sales.place_order(order=message).order == placed
    assert sales.get_order(name=placed.name).order == placed


@pytest.mark.parametrize(
    ("spoil", "field"),
    [
        (lambda o: o.ClearField("contact"), "order.contact"),
        (lambda o: setattr(o, "contact", "people/1"), "order.contact"),
        (lambda o: setattr(o, "contact", "contacts/1"), "order.contact"),
        (lambda o: o.ClearField("source"), "order.source"),
        (lambda o: setattr(o, "external_id", "x" * 201), "order.external_id"),
        (lambda o: setattr(o, "coupon_code", "x" * 65), "order.coupon_code"),
        (lambda o: o.ClearField("order_time"), "order.order_time"),
        (
            lambda o: o.order_time.FromDatetime(NOON + timedelta(days=1, hours=1, seconds=1)),
            "order.order_time",
        ),
        (lambda o: setattr(o.order_time, "seconds", -3_000_000_000), "order.order_time"),
        (lambda o: o.ClearField("lines"), "order.lines"),
        (lambda o: setattr(o.lines[0], "product_code", ""), "order.lines[0].product_code"),
        (lambda o: setattr(o.lines[0], "quantity", "1e3"), "order.lines[0].quantity"),
        (lambda o: setattr(o.lines[0], "quantity", "-1"), "order.lines[0].quantity"),
        (lambda o: setattr(o.lines[0].unit_price, "currency_code", "£"), "order.lines[0].unit_price"),
        (lambda o: setattr(o.lines[0].unit_price, "nanos", -1), "order.lines[0].unit_price"),
        (lambda o: setattr(o.lines[0].unit_price, "units", 10**15), "order.lines[0].unit_price"),
        (lambda o: o.lines.append(line(currency="VND")), "order.lines[1].unit_price"),
        (lambda o: o.lines.append(line("A", "0.000001", "0.001")), None),
        (lambda o: o.lines.append(line("A", "0.000001", "0.0001")), "order.lines[1].unit_price"),
    ],
)
def test_place_order_refuses(sales: Any, spoil: Callable[[Any], object], field: str | None) -> None:
    message = order(ident())
    spoil(message)
    if field is None:
        assert sales.place_order(order=message).order.total.nanos == 500_000_001
        return
    with pytest.raises(errors.InvalidArgument) as caught:
        sales.place_order(order=message)
    assert fields(caught) == {field}


def test_place_order_with_other_content(sales: Any) -> None:
    message = order(ident())
    sales.place_order(order=message)
    message.lines[0].quantity = "2"
    with pytest.raises(errors.AlreadyExists) as caught:
        sales.place_order(order=message)
    assert caught.value.reason == "ORDER_DIFFERS"
    assert caught.value.metadata["external_id"] == message.external_id
    assert fields(caught) == {"order"}


def test_place_order_of_unknown_products(sales: Any) -> None:
    with pytest.raises(errors.NotFound) as caught:
        sales.place_order(order=order(ident(), line("A"), line("Q1"), line("Q2")))
    assert (caught.value.reason, caught.value.metadata) == ("PRODUCT_NOT_FOUND", {"codes": "Q1, Q2"})


def test_batch_ingest_orders(sales: Any) -> None:
    batch = [order(ident(), historical=True) for _ in range(7)]
    done = sales.batch_ingest_orders(orders=batch)
    assert (done.recorded_count, done.skipped_count, len(set(done.names))) == (7, 0, 7)
    again = sales.batch_ingest_orders(orders=[*reversed(batch), order(ident())])
    assert (again.recorded_count, again.skipped_count) == (1, 7)
    assert list(again.names[:7]) == list(reversed(done.names))


def test_batch_ingest_orders_refuses_all_for_one(sales: Any) -> None:
    good, known = order(ident()), order(ident())
    sales.place_order(order=known)
    changed = sales_pb2.Order()
    changed.CopyFrom(known)
    changed.coupon_code = "OTHER"
    for bad, error, reason in (
        (order(ident(), line(quantity="none")), errors.InvalidArgument, "INVALID_FIELDS"),
        (order(ident(), line("Q")), errors.NotFound, "PRODUCT_NOT_FOUND"),
        (changed, errors.AlreadyExists, "ORDER_DIFFERS"),
    ):
        with pytest.raises(error) as caught:
            sales.batch_ingest_orders(orders=[good, bad])
        assert caught.value.reason == reason
    assert sales.batch_ingest_orders(orders=[good]).recorded_count == 1
    with pytest.raises(errors.InvalidArgument):
        sales.batch_ingest_orders(orders=[order(str(number)) for number in range(1001)])


def test_get_order(sales: Any) -> None:
    with pytest.raises(errors.NotFound) as caught:
        sales.get_order(name=f"orders/{uuid4()}")
    assert caught.value.metadata["resource"].startswith("orders/")
    for name in ("", "orders/", "contacts/1", f"orders/{str(uuid4()).upper()}", "orders/42"):
        with pytest.raises(errors.InvalidArgument) as bad:
            sales.get_order(name=name)
        assert fields(bad) == {"name"}


def check_listing(sales: Any, items: str, make: Callable[..., Any], time_field: str) -> None:
    """Check the paging of one kind of document."""
    write, listing = getattr(sales, f"batch_ingest_{items}"), getattr(sales, f"list_{items}")
    owner = contact()
    # All at one moment: the order of ids has to break the tie.
    write(**{items: [make(ident(), contact=owner) for _ in range(5)]})
    write(**{items: [make(ident(), contact=owner, time=NOON + timedelta(hours=1)), make(ident())]})
    listed = list(listing.iterate(contact=owner, page_size=2))
    assert len({item.name for item in listed}) == 6
    times = [getattr(item, time_field).seconds for item in listed]
    assert times == sorted(times, reverse=True)
    assert {item.contact for item in listed} == {owner}
    assert len(list(listing.iterate(page_size=1000))) > 6
    assert not getattr(listing(contact=contact()), items)
    token = listing(contact=owner, page_size=1).next_page_token
    assert getattr(listing(contact=owner, page_size=3, page_token=token), items)[0] == listed[1]
    with pytest.raises(errors.InvalidArgument) as caught:
        listing(contact=contact(), page_size=1, page_token=token)
    assert caught.value.reason == "PAGE_TOKEN_MISMATCH"
    for bad in ({"page_size": -1}, {"page_size": 1001}, {"page_token": "x"}, {"contact": "contacts/x"}):
        with pytest.raises(errors.InvalidArgument):
            listing(**bad)


def test_list_orders(sales: Any) -> None:
    check_listing(sales, "orders", order, "order_time")


def test_list_returns(sales: Any) -> None:
    check_listing(sales, "returns", goods_back, "return_time")


def test_list_payments(sales: Any) -> None:
    check_listing(sales, "payments", payment, "pay_time")


def test_list_orders_leaves_lines_out(sales: Any) -> None:
    owner = contact()
    sales.place_order(order=order(ident(), contact=owner))
    [listed] = sales.list_orders(contact=owner).orders
    assert not listed.lines
    assert listed.total.units == 2


def test_list_returns_has_their_lines(sales: Any) -> None:
    owner = contact()
    sales.batch_ingest_returns(returns=[goods_back(ident(), line("B"), line("A"), contact=owner)])
    [back] = sales.list_returns(contact=owner).returns
    assert [item.product_code for item in back.lines] == ["B", "A"]


def test_list_payments_gives_back_what_was_recorded(sales: Any) -> None:
    paid = payment(ident(), "0.000000001", method="bank transfer", historical=True)
    sales.batch_ingest_payments(payments=[paid])
    [listed] = sales.list_payments(contact=paid.contact).payments
    assert listed.name.startswith("payments/")
    listed.name = ""
    assert listed == paid


def test_batch_ingest_returns(sales: Any) -> None:
    sold = sales.place_order(order=order(ident())).order.name
    back = [goods_back(ident(), order=sold), goods_back(ident())]
    done = sales.batch_ingest_returns(returns=back)
    assert (done.recorded_count, done.skipped_count) == (2, 0)
    again = sales.batch_ingest_returns(returns=back)
    assert (again.recorded_count, again.skipped_count, list(again.names)) == (0, 2, list(done.names))
    back[1].lines[0].quantity = "5"
    with pytest.raises(errors.AlreadyExists) as caught:
        sales.batch_ingest_returns(returns=back)
    assert caught.value.reason == "RETURN_DIFFERS"
    assert fields(caught) == {"returns[1]"}


def test_batch_ingest_returns_refuses(sales: Any) -> None:
    good = goods_back(ident())
    for bad, reason in (
        (goods_back(ident(), order=f"orders/{uuid4()}"), "ORDER_NOT_FOUND"),
        (goods_back(ident(), line("Q")), "PRODUCT_NOT_FOUND"),
    ):
        with pytest.raises(errors.NotFound) as missing:
            sales.batch_ingest_returns(returns=[good, bad])
        assert missing.value.reason == reason
    with pytest.raises(errors.InvalidArgument) as caught:
        sales.batch_ingest_returns(returns=[good, goods_back(ident(), line(quantity="-1"))])
    assert fields(caught) == {"returns[1].lines[0].quantity"}
    assert sales.batch_ingest_returns(returns=[good]).recorded_count == 1


def test_batch_ingest_payments(sales: Any) -> None:
    sold = sales.place_order(order=order(ident())).order.name
    paid = [payment(ident(), order=sold), payment(ident(), "0.01")]
    done = sales.batch_ingest_payments(payments=paid)
    assert (done.recorded_count, done.skipped_count) == (2, 0)
    assert list(sales.batch_ingest_payments(payments=paid).names) == list(done.names)
    paid[0].method = "cash"
    with pytest.raises(errors.AlreadyExists) as caught:
        sales.batch_ingest_payments(payments=paid)
    assert caught.value.reason == "PAYMENT_DIFFERS"
    with pytest.raises(errors.NotFound) as missing:
        sales.batch_ingest_payments(payments=[payment(ident(), order=f"orders/{uuid4()}")])
    assert missing.value.reason == "ORDER_NOT_FOUND"
    with pytest.raises(errors.InvalidArgument) as bad:
        sales.batch_ingest_payments(payments=[payment(ident(), "0"), payment(ident(), "-1")])
    assert fields(bad) == {"payments[0].amount", "payments[1].amount"}


def test_record_unattributed_lines(sales: Any) -> None:
    first, second = ident(), ident()
    before = sales.get_sales_summary().unattributed_line_count
    done = sales.record_unattributed_lines(
        lines=[nameless_line(first), nameless_line(second, product_code="?")]
    )
    assert (done.recorded_count, done.skipped_count) == (2, 0)
    done = sales.record_unattributed_lines(
        lines=[nameless_line(second), nameless_line(ident()), nameless_line(first)]
    )
    assert (done.recorded_count, done.skipped_count) == (1, 2)
    assert sales.get_sales_summary().unattributed_line_count == before + 3
    with pytest.raises(errors.InvalidArgument) as caught:
        sales.record_unattributed_lines(
            lines=[nameless_line(ident()), nameless_line(ident(), quantity="1e9")]
        )
    assert fields(caught) == {"lines[1].quantity"}
    assert sales.get_sales_summary().unattributed_line_count == before + 3


def test_get_sales_summary(sales: Any) -> None:
    before = sales.get_sales_summary()
    owner = contact()
    sales.place_order(
        order=order(ident(), line("A", "1", "0.1", "CHF"), line("A", "1", "0.2", "CHF"), contact=owner)
    )
    sales.batch_ingest_returns(returns=[goods_back(ident(), line("A", "1", "0.05", "CHF"), contact=owner)])
    sales.batch_ingest_payments(payments=[payment(ident(), "0.25", currency="CHF", contact=owner)])
    after = sales.get_sales_summary()
    assert after.customer_count == before.customer_count + 1
    assert after.order_count == before.order_count + 1
    assert after.return_count == before.return_count + 1
    assert [item.revenue.currency_code for item in after.currencies] == sorted(
        item.revenue.currency_code for item in after.currencies
    )
    [francs] = [item for item in after.currencies if item.revenue.currency_code == "CHF"]
    assert (francs.revenue.nanos, francs.returned.nanos, francs.paid.nanos) == (
        300_000_000,
        50_000_000,
        250_000_000,
    )
    assert francs.returned.currency_code == francs.paid.currency_code == "CHF"


def test_get_contact_sales(sales: Any) -> None:
    owner = contact()
    nothing = sales.get_contact_sales(contact=owner)
    assert (nothing.order_count, nothing.return_count, len(nothing.currencies)) == (0, 0, 0)
    assert not nothing.HasField("first_order_time")
    batch = [order(ident(), contact=owner, time=NOON - timedelta(days=day)) for day in range(12)]
    sales.batch_ingest_orders(orders=batch)
    found = sales.get_contact_sales(contact=owner)
    assert (found.order_count, len(found.recent_orders)) == (12, 10)
    assert found.last_order_time == batch[0].order_time
    assert found.first_order_time == batch[-1].order_time
    assert [item.external_id for item in found.recent_orders] == [item.external_id for item in batch[:10]]
    assert found.recent_orders[0].lines[0].product_code == "A"
    assert len(sales.get_contact_sales(contact=owner, recent_order_count=100).recent_orders) == 12
    for bad in ({"contact": ""}, {"contact": "contacts/7"}, {"contact": owner, "recent_order_count": 101}):
        with pytest.raises(errors.InvalidArgument):
            sales.get_contact_sales(**bad)
