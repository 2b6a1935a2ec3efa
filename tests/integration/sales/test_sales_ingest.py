"""Ingestion on a real database: once each, all or none, whoever comes first."""

from __future__ import annotations

import random
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from uuid import UUID, uuid4

import pytest
import sqlalchemy as sa
from rapport.sales.v1 import events_pb2, sales_pb2

from services.kit.errors import AlreadyExists, InvalidArgument, NotFound
from services.kit.runtime import Runtime
from services.sales import models
from services.sales.codec import Decoder
from services.sales.domain import Order, Payment, Product, Return
from services.sales.usecases import orders, payments, products, returns, unattributed
from services.sales.usecases.batches import Ingested
from tests.support.sales_data import NOON, contact, goods_back, line, nameless_line, order, payment

ROWS = {
    "orders": models.sales_order,
    "order lines": models.sales_order_line,
    "returns": models.sales_return,
    "return lines": models.sales_return_line,
    "payments": models.payment,
    "nameless lines": models.unattributed_line,
    "events": models.kit.outbox,
}


def decode_orders(*messages: sales_pb2.Order) -> list[Order]:
    return Decoder(NOON + timedelta(hours=1)).orders(messages)


def decode_returns(*messages: sales_pb2.Return) -> list[Return]:
    return Decoder(NOON + timedelta(hours=1)).returns(messages)


def decode_payments(*messages: sales_pb2.Payment) -> list[Payment]:
    return Decoder(NOON + timedelta(hours=1)).payments(messages)


def counts(runtime: Runtime) -> dict[str, int]:
    with runtime.db.read() as connection:
        return {
            name: connection.scalar(sa.select(sa.func.count()).select_from(table)) or 0
            for name, table in ROWS.items()
        }


def events(runtime: Runtime) -> Sequence[sa.Row[tuple[object, ...]]]:
    with runtime.db.read() as connection:
        return connection.execute(sa.select(models.kit.outbox).order_by(models.kit.outbox.c.id)).all()


def test_products_are_created_changed_and_left_alone(runtime: Runtime) -> None:
    with pytest.raises(InvalidArgument) as caught:
        products.upsert_products(runtime, [Product("N", "n", ""), Product("N", "m", "")])
    assert caught.value.violations[0].field == "products[1].code"
    done = products.upsert_products(
        runtime, [Product("A", "", "boots"), Product("B", "Cap", ""), Product("a", "small a", "")]
    )
    assert done == (1, 1)
    a = products.get_product(runtime, "A")
    assert (a.title, a.category) == ("Boot", "boots")
    assert products.get_product(runtime, "B").category == "hats"
    listed = products.list_products(runtime, after="", count=10)
    assert [item.code for item in listed] == ["A", "B", "C", "a"]
    with pytest.raises(NotFound):
        products.get_product(runtime, "N")


def test_an_order_comes_with_lines_and_one_event(runtime: Runtime) -> None:
    customer = uuid4()
    message = order(
        "1",
        line("A", "2", "1.5"),
        line("B", "1", "3.001"),
        line("C", "1", "0"),
        contact=contact(customer),
        coupon_code="MAY",
        historical=True,
    )
    done = orders.ingest_orders(runtime, decode_orders(message))
    assert (done.recorded, done.skipped) == (1, 0)
    stored = orders.get_order(runtime, done.ids[0])
    assert [item.product_code for item in stored.lines] == ["A", "B", "C"]
    assert stored.total == Decimal("6.001")
    assert stored.create_time == NOON + timedelta(hours=1)
    [event] = events(runtime)
    payload = events_pb2.OrderPlaced.FromString(event.data)
    assert (event.type, event.subject) == ("order.placed", f"orders/{done.ids[0]}")
    assert (event.contact_id, event.historical, event.occur_time) == (customer, True, NOON)
    assert event.record_time == NOON + timedelta(hours=1)
    assert event.data_type.endswith("/rapport.sales.v1.OrderPlaced")
    assert (payload.total.units, payload.total.nanos, payload.line_count) == (6, 1_000_000, 3)
    assert (payload.category, payload.coupon_code, payload.source) == ("hats", "MAY", "shop")


def test_a_batch_again_changes_nothing(runtime: Runtime) -> None:
    batch = decode_orders(*(order(str(number)) for number in range(20)))
    first = orders.ingest_orders(runtime, batch)
    before = counts(runtime)
    mixed = [replace(item, historical=True) for item in batch] + decode_orders(order("new"))
    again = orders.ingest_orders(runtime, mixed)
    assert (again.recorded, again.skipped) == (1, 20)
    assert again.ids[:20] == first.ids
    after = counts(runtime)
    assert (after["orders"], after["events"]) == (before["orders"] + 1, before["events"] + 1)


def test_the_same_order_twice_in_a_batch_counts_once(runtime: Runtime) -> None:
    [one] = decode_orders(order("1"))
    done = orders.ingest_orders(runtime, [one, one, *decode_orders(order("1", source="other"))])
    assert (done.recorded, done.skipped) == (2, 1)
    assert done.ids[0] == done.ids[1] != done.ids[2]


def test_other_content_refuses_the_whole_batch_and_names_the_item(runtime: Runtime) -> None:
    customer = contact()
    orders.ingest_orders(runtime, decode_orders(order("1", contact=customer)))
    before = counts(runtime)
    changed = order("1", line(quantity="9"), contact=customer)
    with pytest.raises(AlreadyExists) as caught:
        orders.ingest_orders(runtime, decode_orders(order("0"), changed))
    assert caught.value.reason == "ORDER_DIFFERS"
    assert caught.value.violations[0].field == "orders[1]"
    assert caught.value.metadata == {"source": "shop", "external_id": "1", "index": "1"}
    assert counts(runtime) == before
    with pytest.raises(AlreadyExists, match=r"orders\[1\].*orders\[0\] of the same call"):
        orders.ingest_orders(runtime, decode_orders(order("5"), order("5", line(quantity="2"))))
    assert counts(runtime) == before


def test_all_unknown_products_are_named_and_nothing_is_written(runtime: Runtime) -> None:
    before = counts(runtime)
    with pytest.raises(NotFound) as caught:
        orders.ingest_orders(
            runtime, decode_orders(order("1", line("Z9"), line("A")), order("2", line("Y8")))
        )
    assert caught.value.reason == "PRODUCT_NOT_FOUND"
    assert caught.value.metadata == {"codes": "Y8, Z9"}
    with pytest.raises(NotFound, match="Z9"):
        returns.ingest_returns(runtime, decode_returns(goods_back("1", line("Z9"))))
    assert counts(runtime) == before


def test_very_many_unknown_products_are_counted(runtime: Runtime) -> None:
    lines = [line(f"{number:04}-{'x' * 80}") for number in range(200)]
    with pytest.raises(NotFound) as caught:
        orders.ingest_orders(runtime, decode_orders(order("1", *lines)))
    named = caught.value.metadata["codes"].removesuffix(" more")
    codes, _, rest = named.rpartition(" and ")
    assert len(codes.split(", ")) + int(rest) == 200
    assert len(codes) <= 4000


def test_returns_and_payments_tell_of_themselves(runtime: Runtime) -> None:
    customer = uuid4()
    sold = orders.ingest_orders(runtime, decode_orders(order("1", contact=contact(customer)))).ids[0]
    name = f"orders/{sold}"
    back = decode_returns(goods_back("r", contact=contact(customer), order=name), goods_back("s"))
    paid = decode_payments(payment("p", "7.5", contact=contact(customer), order=name, historical=True))
    first = returns.ingest_returns(runtime, back)
    assert (first.recorded, first.skipped) == (2, 0)
    assert returns.ingest_returns(runtime, back) == Ingested(first.ids, 0, 2)
    done = payments.ingest_payments(runtime, paid)
    assert payments.ingest_payments(runtime, paid) == Ingested(done.ids, 0, 1)
    _, returned, unlinked, received = events(runtime)
    assert (returned.type, unlinked.type, received.type) == (
        "order.returned",
        "order.returned",
        "payment.received",
    )
    payload = events_pb2.OrderReturned.FromString(returned.data)
    assert (payload.order, payload.line_count, payload.total.units) == (name, 1, 2)
    assert events_pb2.OrderReturned.FromString(unlinked.data).order == ""
    money = events_pb2.PaymentReceived.FromString(received.data)
    assert (money.order, money.method, money.amount.units, money.amount.nanos) == (
        name,
        "card",
        7,
        500_000_000,
    )
    assert (received.contact_id, received.historical) == (customer, True)


@pytest.mark.parametrize(
    ("run", "reason"),
    [
        (
            lambda r: returns.ingest_returns(
                r, decode_returns(goods_back("0"), goods_back("1", line(quantity="3")))
            ),
            "RETURN_DIFFERS",
        ),
        (
            lambda r: payments.ingest_payments(r, decode_payments(payment("0"), payment("1", "99"))),
            "PAYMENT_DIFFERS",
        ),
    ],
)
def test_returns_and_payments_with_other_content_are_refused(
    runtime: Runtime, run: Callable[[Runtime], object], reason: str
) -> None:
    returns.ingest_returns(runtime, decode_returns(goods_back("1")))
    payments.ingest_payments(runtime, decode_payments(payment("1")))
    before = counts(runtime)
    with pytest.raises(AlreadyExists) as caught:
        run(runtime)
    assert caught.value.reason == reason
    assert counts(runtime) == before


def test_orders_that_do_not_exist_are_named(runtime: Runtime) -> None:
    before = counts(runtime)
    ghost = f"orders/{uuid4()}"
    back = decode_returns(goods_back("1"), goods_back("2", order=ghost))
    paid = decode_payments(payment("1"), payment("2", order=ghost))
    attempts: list[Callable[[], object]] = [
        lambda: returns.ingest_returns(runtime, back),
        lambda: payments.ingest_payments(runtime, paid),
    ]
    for attempt in attempts:
        with pytest.raises(NotFound) as caught:
            attempt()
        assert caught.value.reason == "ORDER_NOT_FOUND"
        assert caught.value.violations[0].field.endswith("[1].order")
        assert caught.value.metadata["resource"] == ghost
    assert counts(runtime) == before


def test_nameless_lines_are_kept_once(runtime: Runtime) -> None:
    decode = Decoder(NOON).unattributed
    first = decode(
        [nameless_line("1"), nameless_line("2"), nameless_line("2"), nameless_line("1", source="till")]
    )
    assert unattributed.record_unattributed_lines(runtime, first) == (3, 1)
    assert unattributed.record_unattributed_lines(
        runtime, decode([nameless_line("2"), nameless_line("3")])
    ) == (1, 1)
    assert counts(runtime)["nameless lines"] == 4


def test_callers_with_the_same_orders_at_once_record_each_once(runtime: Runtime) -> None:
    callers = 6
    messages = [order(str(number), line("A"), line("B")) for number in range(60)]
    barrier = threading.Barrier(callers)

    def ingest(seed: int) -> dict[str, UUID]:
        mine = random.Random(seed).sample(messages, 50)
        batch = decode_orders(*mine)
        barrier.wait(30)
        done = orders.ingest_orders(runtime, batch)
        assert done.recorded + done.skipped == 50
        return {item.external_id: key for item, key in zip(batch, done.ids, strict=True)}

    with ThreadPoolExecutor(callers) as pool:
        told = list(pool.map(ingest, range(callers)))
    names: dict[str, UUID] = {}
    for answer in told:
        for external_id, key in answer.items():
            assert names.setdefault(external_id, key) == key
    found = counts(runtime)
    assert (found["orders"], found["order lines"], found["events"]) == (
        len(names),
        2 * len(names),
        len(names),
    )


def test_callers_with_different_contents_at_once_leave_one_and_refuse_the_others(runtime: Runtime) -> None:
    callers = 4
    barrier = threading.Barrier(callers)

    def place(number: int) -> str:
        [mine] = decode_orders(order("same", line(quantity=str(number + 1))))
        barrier.wait(30)
        try:
            return str(orders.place_order(runtime, mine).id)
        except AlreadyExists as error:
            return error.reason

    with ThreadPoolExecutor(callers) as pool:
        answers = list(pool.map(place, range(callers)))
    assert answers.count("ORDER_DIFFERS") == callers - 1
    assert counts(runtime)["orders"] == 1
