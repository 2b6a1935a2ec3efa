"""Orders: recorded once, read often."""

from __future__ import annotations

from collections.abc import Sequence
from uuid import UUID

from rapport.sales.v1 import events_pb2
from sqlalchemy import Connection

from services.kit import outbox
from services.kit.errors import NotFound
from services.kit.money import to_money
from services.kit.names import format_name
from services.kit.outbox import NewEvent
from services.kit.runtime import Runtime
from services.sales.domain import Order, main_category
from services.sales.models import kit
from services.sales.store import orders as store
from services.sales.store.pages import Position
from services.sales.usecases.batches import Ingested, Kind, fold, settle
from services.sales.usecases.products import require_products
from services.sales.usecases.references import owners_of

_BATCH = Kind("orders", "orders", "ORDER_DIFFERS")
_SINGLE = Kind("order", "orders", "ORDER_DIFFERS", repeated=False)


def place_order(runtime: Runtime, order: Order) -> Order:
    """Record an order and return it as stored; the first one when it is known with the same content."""
    with runtime.db.transaction() as connection:
        outcome = _ingest(runtime, connection, _SINGLE, [order])
        return _stored(connection, outcome.ids[0])


def ingest_orders(runtime: Runtime, orders: Sequence[Order]) -> Ingested:
    """Record orders, all or none; those known with the same content are skipped."""
    with runtime.db.transaction() as connection:
        return _ingest(runtime, connection, _BATCH, orders)


def get_order(runtime: Runtime, key: UUID) -> Order:
    """Return an order with its lines; raises NotFound."""
    # The lines of an order never change, so two statements see the same order.
    with runtime.db.read() as connection:
        return _stored(connection, key)


def list_orders(
    runtime: Runtime, *, contact_id: UUID | None, after: Position | None, count: int
) -> list[Order]:
    """Return the next orders without their lines, newest first."""
    with runtime.db.read() as connection:
        return store.page(connection, contact_id=contact_id, after=after, count=count)


def _ingest(runtime: Runtime, connection: Connection, kind: Kind, orders: Sequence[Order]) -> Ingested:
    batch = fold(kind, orders)
    categories = require_products(
        connection, (line for order in batch.records.values() for line in order.lines)
    )
    now = runtime.clock.now()
    owners = owners_of(connection, batch.records.values())
    settled = settle(
        kind,
        orders,
        batch,
        insert=lambda rows: store.insert_new(connection, rows, now, owners),
        known=lambda keys: store.known(connection, keys),
    )
    if settled.fresh:
        store.insert_lines(connection, settled.fresh)
        events = (
            _placed(key, order, owners[order.contact_id], categories) for key, order in settled.fresh.items()
        )
        outbox.append(connection, kit.outbox, events, record_time=now)
    return settled.outcome


def _placed(key: UUID, order: Order, owner: UUID | None, categories: dict[str, str]) -> NewEvent:
    return NewEvent(
        type="order.placed",
        subject=format_name("orders", key),
        contact=owner,
        revision=1,
        occur_time=order.order_time,
        data=events_pb2.OrderPlaced(
            total=to_money(order.total, order.currency),
            line_count=len(order.lines),
            category=main_category(order.lines, categories),
            coupon_code=order.coupon_code,
            source=order.source,
        ),
        historical=order.historical,
    )


def _stored(connection: Connection, key: UUID) -> Order:
    found = store.get(connection, key)
    if found is None:
        raise NotFound.resource(format_name("orders", key))
    return found
