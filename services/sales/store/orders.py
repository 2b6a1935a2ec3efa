"""Queries on orders."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy import Connection, Row
from sqlalchemy.dialects import postgresql as pg

from services.sales.domain import Key, Order
from services.sales.models import sales_order, sales_order_line
from services.sales.store.batches import BatchWriter, Known, Owners
from services.sales.store.lines import copy_lines, lines_of
from services.sales.store.pages import Position, newest

_WRITER = BatchWriter(sales_order)
_COLUMNS = [column for column in sales_order.columns if column.name != "content_hash"]


def insert_new(
    connection: Connection, orders: Mapping[UUID, Order], now: datetime, owners: Owners
) -> set[Key]:
    """Write the orders whose key is new, without their lines, and return the keys of these."""
    return _WRITER.insert(
        connection,
        [
            {
                "id": key,
                "contact_id": owners[order.contact_id],
                "source": order.source,
                "external_id": order.external_id,
                "content_hash": order.content_hash,
                "order_time": order.order_time,
                "currency": order.currency,
                "total": order.total,
                "coupon_code": order.coupon_code,
                "historical": order.historical,
                "create_time": now,
            }
            for key, order in orders.items()
        ],
    )


def insert_lines(connection: Connection, orders: Mapping[UUID, Order]) -> None:
    """Write the lines of new orders."""
    copy_lines(
        connection, sales_order_line, "order_id", ((key, order.lines) for key, order in orders.items())
    )


def known(connection: Connection, keys: Iterable[Key]) -> dict[Key, Known]:
    """Return the id and content of the orders that are stored under the keys."""
    return _WRITER.known(connection, keys)


def existing(connection: Connection, ids: Collection[UUID]) -> set[UUID]:
    """Return which of the orders exist."""
    if not ids:
        return set()
    wanted = sa.bindparam("ids", type_=pg.ARRAY(pg.UUID(as_uuid=True)))
    query = sa.select(sales_order.c.id).where(sales_order.c.id == sa.func.any(wanted))
    return set(connection.scalars(query, {"ids": list(ids)}))


def get(connection: Connection, key: UUID) -> Order | None:
    """Return an order with its lines, or None."""
    row = connection.execute(sa.select(*_COLUMNS).where(sales_order.c.id == key)).one_or_none()
    return None if row is None else with_lines(connection, [_order(row)])[0]


def page(
    connection: Connection, *, contact_id: UUID | None, after: Position | None, count: int
) -> list[Order]:
    """Return the next orders without their lines, newest first."""
    query = newest(_COLUMNS, sales_order, "order_time", contact_id=contact_id, after=after, count=count)
    return [_order(row) for row in connection.execute(query)]


def with_lines(connection: Connection, orders: Sequence[Order]) -> list[Order]:
    """Return the orders with their lines."""
    lines = lines_of(connection, sales_order_line, "order_id", [order.id for order in orders if order.id])
    return [replace(order, lines=lines[order.id]) for order in orders if order.id]


def _order(row: Row[Any]) -> Order:
    return Order(**row._mapping, lines=())
