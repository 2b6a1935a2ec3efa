"""Figures over all sales, or over those of one contact, each read in one statement and so at one moment."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy import ColumnElement, Connection, Table
from sqlalchemy.dialects import postgresql as pg

from services.sales.models import payment, product, sales_order, sales_return, unattributed_line


@dataclass(frozen=True, slots=True)
class CurrencyFigures:
    """Hold the sums of one currency; all positive."""

    currency: str
    revenue: Decimal
    returned: Decimal
    paid: Decimal


@dataclass(frozen=True, slots=True, kw_only=True)
class SalesFigures:
    """Hold the figures of all sales; currencies by code."""

    customer_count: int
    order_count: int
    return_count: int
    product_count: int
    unattributed_line_count: int
    currencies: list[CurrencyFigures]


@dataclass(frozen=True, slots=True, kw_only=True)
class ContactFigures:
    """Hold the figures of a contact; currencies by code."""

    order_count: int
    return_count: int
    first_order_time: datetime | None
    last_order_time: datetime | None
    currencies: list[CurrencyFigures]


def _count(table: Table, *where: ColumnElement[bool]) -> sa.ScalarSelect[int]:
    return sa.select(sa.func.count()).select_from(table).where(*where).scalar_subquery()


def _currencies(contact: ColumnElement[UUID] | None) -> sa.ScalarSelect[object]:
    """Build one JSON value: a list of [currency, revenue, returned, paid], the sums as text to stay exact."""
    parts = []
    for position, (table, amount) in enumerate(
        (
            (sales_order, sales_order.c.total),
            (sales_return, sales_return.c.total),
            (payment, payment.c.amount),
        )
    ):
        sums = [
            sa.func.sum(amount) if index == position else sa.null().cast(sa.Numeric) for index in range(3)
        ]
        part = sa.select(
            table.c.currency, sums[0].label("revenue"), sums[1].label("returned"), sums[2].label("paid")
        ).group_by(table.c.currency)
        parts.append(part if contact is None else part.where(table.c.contact_id == contact))
    each = sa.union_all(*parts).subquery()
    merged = (
        sa.select(
            each.c.currency, *(sa.func.coalesce(sa.func.sum(each.c[name]), 0).label(name) for name in _SUMS)
        )
        .group_by(each.c.currency)
        .subquery()
    )
    row = sa.func.jsonb_build_array(merged.c.currency, *(merged.c[name].cast(sa.Text) for name in _SUMS))
    ordered = pg.aggregate_order_by(row, merged.c.currency.collate("C"))
    return sa.select(sa.func.jsonb_agg(ordered, type_=pg.JSONB)).scalar_subquery()


_SUMS = ("revenue", "returned", "paid")
_CONTACT = sa.bindparam("contact_id", type_=pg.UUID(as_uuid=True))
# UNION, unlike UNION ALL, leaves each contact once.
_CUSTOMERS = sa.union(
    *(
        sa.select(table.c.contact_id).where(table.c.contact_id.is_not(None))
        for table in (sales_order, sales_return)
    )
).subquery()
_ALL = sa.select(
    sa.select(sa.func.count()).select_from(_CUSTOMERS).scalar_subquery().label("customer_count"),
    _count(sales_order).label("order_count"),
    _count(sales_return).label("return_count"),
    _count(product).label("product_count"),
    _count(unattributed_line).label("unattributed_line_count"),
    _currencies(None).label("currencies"),
)
_OF_CONTACT = sa.select(
    sa.func.count().label("order_count"),
    sa.func.min(sales_order.c.order_time).label("first_order_time"),
    sa.func.max(sales_order.c.order_time).label("last_order_time"),
    _count(sales_return, sales_return.c.contact_id == _CONTACT).label("return_count"),
    _currencies(_CONTACT).label("currencies"),
).where(sales_order.c.contact_id == _CONTACT)


def summary(connection: Connection) -> SalesFigures:
    """Return the figures of all sales."""
    values = dict(connection.execute(_ALL).one()._mapping)
    return SalesFigures(currencies=_figures(values.pop("currencies")), **values)


def of_contact(connection: Connection, contact_id: UUID) -> ContactFigures:
    """Return the figures of a contact; zeros when there is nothing."""
    values = dict(connection.execute(_OF_CONTACT, {"contact_id": contact_id}).one()._mapping)
    return ContactFigures(currencies=_figures(values.pop("currencies")), **values)


def _figures(rows: list[list[str]] | None) -> list[CurrencyFigures]:
    return [CurrencyFigures(code, *(Decimal(value) for value in sums)) for code, *sums in rows or ()]
