"""Queries on payments."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, Row

from services.sales.domain import Amount, Key, Payment
from services.sales.models import payment
from services.sales.store.batches import BatchWriter, Known, Owners
from services.sales.store.pages import Position, newest

_WRITER = BatchWriter(payment)
_COLUMNS = [column for column in payment.columns if column.name not in ("content_hash", "create_time")]


def insert_new(
    connection: Connection, payments: Mapping[UUID, Payment], now: datetime, owners: Owners
) -> set[Key]:
    """Write the payments whose key is new and return the keys of these."""
    return _WRITER.insert(
        connection,
        [
            {
                "id": key,
                "contact_id": owners[item.contact_id],
                "order_id": item.order_id,
                "source": item.source,
                "external_id": item.external_id,
                "content_hash": item.content_hash,
                "pay_time": item.pay_time,
                "currency": item.amount.currency,
                "amount": item.amount.value,
                "method": item.method,
                "historical": item.historical,
                "create_time": now,
            }
            for key, item in payments.items()
        ],
    )


def known(connection: Connection, keys: Iterable[Key]) -> dict[Key, Known]:
    """Return the id and content of the payments that are stored under the keys."""
    return _WRITER.known(connection, keys)


def page(
    connection: Connection, *, contact_id: UUID | None, after: Position | None, count: int
) -> list[Payment]:
    """Return the next payments, newest first."""
    query = newest(_COLUMNS, payment, "pay_time", contact_id=contact_id, after=after, count=count)
    return [_payment(row) for row in connection.execute(query)]


def _payment(row: Row[Any]) -> Payment:
    values = dict(row._mapping)
    amount = Amount(values.pop("currency"), values.pop("amount"))
    return Payment(amount=amount, **values)
