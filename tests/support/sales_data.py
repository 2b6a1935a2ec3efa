"""Messages of sales for tests."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal
from typing import Any
from uuid import UUID, uuid4

from rapport.sales.v1 import sales_pb2
from rapport_client import to_money

from services.kit.wire import to_timestamp

NOON = datetime(2026, 2, 1, 12, 0, tzinfo=UTC)


def contact(key: UUID | None = None) -> str:
    """Return the name of a contact."""
    return f"contacts/{key or uuid4()}"


def line(code: str = "A", quantity: str = "1", price: str = "2.50", currency: str = "GBP") -> sales_pb2.Line:
    """Return a line."""
    return sales_pb2.Line(product_code=code, quantity=quantity, unit_price=to_money(Decimal(price), currency))


def order(
    external_id: str = "1", *lines: sales_pb2.Line, time: datetime = NOON, **fields: Any
) -> sales_pb2.Order:
    """Return an order from the shop."""
    values: dict[str, Any] = {"contact": contact(), "source": "shop"} | fields
    return sales_pb2.Order(
        external_id=external_id, order_time=to_timestamp(time), lines=lines or (line(),), **values
    )


def goods_back(
    external_id: str = "1", *lines: sales_pb2.Line, time: datetime = NOON, **fields: Any
) -> sales_pb2.Return:
    """Return a return from the shop."""
    values: dict[str, Any] = {"contact": contact(), "source": "shop"} | fields
    return sales_pb2.Return(
        external_id=external_id, return_time=to_timestamp(time), lines=lines or (line(),), **values
    )


def payment(
    external_id: str = "1", amount: str = "10", *, time: datetime = NOON, **fields: Any
) -> sales_pb2.Payment:
    """Return a payment to the shop."""
    values: dict[str, Any] = {"contact": contact(), "source": "shop", "method": "card"} | fields
    currency = values.pop("currency", "GBP")
    return sales_pb2.Payment(
        external_id=external_id,
        pay_time=to_timestamp(time),
        amount=to_money(Decimal(amount), currency),
        **values,
    )


def nameless_line(
    external_id: str = "1", quantity: str = "-3", price: str = "1.25", *, time: datetime = NOON, **fields: Any
) -> sales_pb2.UnattributedLine:
    """Return a line without a customer."""
    values: dict[str, Any] = {"source": "shop", "document": "536414", "product_code": "22139"} | fields
    return sales_pb2.UnattributedLine(
        external_id=external_id,
        quantity=quantity,
        unit_price=to_money(Decimal(price), "GBP"),
        occur_time=to_timestamp(time),
        **values,
    )
