"""Lists and figures on a real database, against plain Python."""

from __future__ import annotations

import random
from collections import defaultdict
from collections.abc import Callable
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID, uuid4

from services.kit.runtime import Runtime
from services.sales.codec import Decoder
from services.sales.usecases import figures, orders, payments, returns, unattributed
from tests.support.sales_data import NOON, contact, goods_back, line, nameless_line, order, payment

CUSTOMERS = [uuid4() for _ in range(5)]


def fill(runtime: Runtime, seed: int) -> dict[str, list[tuple[UUID, Any, str, Decimal]]]:
    """Record random sales; return (customer, time, currency, amount) of each kind."""
    draw = random.Random(seed)
    facts: dict[str, list[tuple[UUID, Any, str, Decimal]]] = defaultdict(list)
    messages: dict[str, list[Any]] = defaultdict(list)
    for number in range(60):
        kind = draw.choice(["order", "order", "return", "payment"])
        # The last customer only pays, which makes no customer of the shop.
        who = CUSTOMERS[4] if kind == "payment" and draw.random() < 0.5 else draw.choice(CUSTOMERS[:4])
        time = NOON - timedelta(days=draw.randrange(5))
        currency = draw.choice(["GBP", "VND"])
        prices = [Decimal(draw.randrange(0, 10**7)).scaleb(-3) for _ in range(draw.randrange(1, 4))]
        if kind == "payment":
            amount = prices[0] + 1
            messages[kind].append(
                payment(str(number), str(amount), time=time, contact=contact(who), currency=currency)
            )
        else:
            lines = [line(draw.choice("ABC"), "3", str(price), currency) for price in prices]
            amount = 3 * sum(prices, Decimal(0))
            make = order if kind == "order" else goods_back
            messages[kind].append(make(str(number), *lines, time=time, contact=contact(who)))
        facts[kind].append((who, time, currency, amount))
    decoder = Decoder(NOON)
    orders.ingest_orders(runtime, decoder.orders(messages["order"]))
    returns.ingest_returns(runtime, decoder.returns(messages["return"]))
    payments.ingest_payments(runtime, decoder.payments(messages["payment"]))
    return facts


def sums(facts: dict[str, list[tuple[UUID, Any, str, Decimal]]], who: UUID | None) -> list[tuple[str, ...]]:
    total: dict[str, dict[str, Decimal]] = defaultdict(lambda: defaultdict(Decimal))
    for kind, items in facts.items():
        for customer, _, currency, amount in items:
            if who in (None, customer):
                total[currency][kind] += amount
    return [
        (currency, *(f"{kinds[kind]:.9f}" for kind in ("order", "return", "payment")))
        for currency, kinds in sorted(total.items())
    ]


def shown(found: Any) -> list[tuple[str, ...]]:
    return [
        (item.currency, f"{item.revenue:.9f}", f"{item.returned:.9f}", f"{item.paid:.9f}")
        for item in found.currencies
    ]


def test_figures_equal_those_counted_by_hand(runtime: Runtime) -> None:
    empty = figures.summarise_sales(runtime)
    assert (empty.customer_count, empty.order_count, empty.currencies) == (0, 0, [])
    facts = fill(runtime, 1)
    unattributed.record_unattributed_lines(
        runtime, Decoder(NOON).unattributed([nameless_line("1"), nameless_line("2")])
    )
    found = figures.summarise_sales(runtime)
    assert found.customer_count == len({item[0] for kind in ("order", "return") for item in facts[kind]})
    assert (found.order_count, found.return_count) == (len(facts["order"]), len(facts["return"]))
    assert (found.product_count, found.unattributed_line_count) == (3, 2)
    assert shown(found) == sums(facts, None)


def test_figures_of_each_contact(runtime: Runtime) -> None:
    facts = fill(runtime, 2)
    for who in [*CUSTOMERS, uuid4()]:
        times = [time for customer, time, _, _ in facts["order"] if customer == who]
        found, recent = figures.summarise_contact(runtime, who, 3)
        assert found.order_count == len(times)
        assert found.return_count == sum(customer == who for customer, *_ in facts["return"])
        assert (found.first_order_time, found.last_order_time) == (
            min(times, default=None),
            max(times, default=None),
        )
        assert shown(found) == sums(facts, who)
        assert [item.order_time for item in recent] == sorted(times, reverse=True)[:3]
        assert all(item.lines for item in recent)


def test_pages_hold_each_document_once_and_newest_first(runtime: Runtime) -> None:
    facts = fill(runtime, 3)
    kinds: list[tuple[str, Callable[..., list[Any]], str]] = [
        ("order", orders.list_orders, "order_time"),
        ("return", returns.list_returns, "return_time"),
        ("payment", payments.list_payments, "pay_time"),
    ]
    for kind, read, time in kinds:
        for who in (None, CUSTOMERS[0]):
            seen: list[Any] = []
            after: tuple[datetime, UUID] | None = None
            while page := read(runtime, contact_id=who, after=after, count=4):
                seen += page
                after = (getattr(page[-1], time), page[-1].id)
            wanted = [moment for customer, moment, _, _ in facts[kind] if who in (None, customer)]
            assert [getattr(item, time) for item in seen] == sorted(wanted, reverse=True)
            assert len({item.id for item in seen}) == len(wanted)


def test_listed_returns_have_their_lines_in_order(runtime: Runtime) -> None:
    back = goods_back("1", line("B", "2"), line("A"), line("C", "1.25"))
    returns.ingest_returns(runtime, Decoder(NOON).returns([back]))
    [item] = returns.list_returns(runtime, contact_id=None, after=None, count=10)
    assert [(part.product_code, part.quantity) for part in item.lines] == [
        ("B", Decimal(2)),
        ("A", Decimal(1)),
        ("C", Decimal("1.25")),
    ]
