"""Figures of all sales and of one contact."""

from __future__ import annotations

from uuid import UUID

from services.kit.runtime import Runtime
from services.sales.domain import Order
from services.sales.store import figures as store
from services.sales.store import orders
from services.sales.store.figures import ContactFigures, SalesFigures


def summarise_sales(runtime: Runtime) -> SalesFigures:
    """Return the figures of all sales."""
    with runtime.db.read() as connection:
        return store.summary(connection)


def summarise_contact(runtime: Runtime, contact_id: UUID, recent: int) -> tuple[ContactFigures, list[Order]]:
    """Return the figures of a contact and its newest orders with their lines, all as of one moment."""
    with runtime.db.snapshot() as connection:
        figures = store.of_contact(connection, contact_id)
        newest = orders.page(connection, contact_id=contact_id, after=None, count=recent)
        return figures, orders.with_lines(connection, newest)
