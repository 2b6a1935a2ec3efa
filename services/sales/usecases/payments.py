"""Payments: recorded once, read often."""

from __future__ import annotations

from collections.abc import Sequence
from uuid import UUID

from rapport.sales.v1 import events_pb2

from services.kit import outbox
from services.kit.money import to_money
from services.kit.names import format_name
from services.kit.outbox import NewEvent
from services.kit.runtime import Runtime
from services.sales.domain import Payment
from services.sales.models import kit
from services.sales.store import payments as store
from services.sales.store.pages import Position
from services.sales.usecases.batches import Ingested, Kind, fold, settle
from services.sales.usecases.references import owners_of, require_orders

_KIND = Kind("payments", "payments", "PAYMENT_DIFFERS")


def ingest_payments(runtime: Runtime, payments: Sequence[Payment]) -> Ingested:
    """Record payments, all or none; those known with the same content are skipped."""
    batch = fold(_KIND, payments)
    now = runtime.clock.now()
    with runtime.db.transaction() as connection:
        require_orders(connection, _KIND.field, payments)
        owners = owners_of(connection, batch.records.values())
        settled = settle(
            _KIND,
            payments,
            batch,
            insert=lambda rows: store.insert_new(connection, rows, now, owners),
            known=lambda keys: store.known(connection, keys),
        )
        events = (_received(key, item, owners[item.contact_id]) for key, item in settled.fresh.items())
        outbox.append(connection, kit.outbox, events, record_time=now)
    return settled.outcome


def list_payments(
    runtime: Runtime, *, contact_id: UUID | None, after: Position | None, count: int
) -> list[Payment]:
    """Return the next payments, newest first."""
    with runtime.db.read() as connection:
        return store.page(connection, contact_id=contact_id, after=after, count=count)


def _received(key: UUID, item: Payment, owner: UUID | None) -> NewEvent:
    return NewEvent(
        type="payment.received",
        subject=format_name("payments", key),
        contact=owner,
        revision=1,
        occur_time=item.pay_time,
        data=events_pb2.PaymentReceived(
            amount=to_money(item.amount.value, item.amount.currency),
            order=format_name("orders", item.order_id) if item.order_id else "",
            method=item.method,
        ),
        historical=item.historical,
    )
