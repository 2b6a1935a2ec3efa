"""Returns: recorded once, read often."""

from __future__ import annotations

from collections.abc import Sequence
from uuid import UUID

from rapport.sales.v1 import events_pb2

from services.kit import outbox
from services.kit.money import to_money
from services.kit.names import format_name
from services.kit.outbox import NewEvent
from services.kit.runtime import Runtime
from services.sales.domain import Return
from services.sales.models import kit
from services.sales.store import returns as store
from services.sales.store.pages import Position
from services.sales.usecases.batches import Ingested, Kind, fold, settle
from services.sales.usecases.products import require_products
from services.sales.usecases.references import owners_of, require_orders

_KIND = Kind("returns", "returns", "RETURN_DIFFERS")


def ingest_returns(runtime: Runtime, returns: Sequence[Return]) -> Ingested:
    """Record returns, all or none; those known with the same content are skipped."""
    batch = fold(_KIND, returns)
    now = runtime.clock.now()
    with runtime.db.transaction() as connection:
        require_products(connection, (line for item in batch.records.values() for line in item.lines))
        require_orders(connection, _KIND.field, returns)
        owners = owners_of(connection, batch.records.values())
        settled = settle(
            _KIND,
            returns,
            batch,
            insert=lambda rows: store.insert_new(connection, rows, now, owners),
            known=lambda keys: store.known(connection, keys),
        )
        if settled.fresh:
            store.insert_lines(connection, settled.fresh)
            events = (_returned(key, item, owners[item.contact_id]) for key, item in settled.fresh.items())
            outbox.append(connection, kit.outbox, events, record_time=now)
    return settled.outcome


def list_returns(
    runtime: Runtime, *, contact_id: UUID | None, after: Position | None, count: int
) -> list[Return]:
    """Return the next returns with their lines, newest first."""
    with runtime.db.read() as connection:
        return store.page(connection, contact_id=contact_id, after=after, count=count)


def _returned(key: UUID, item: Return, owner: UUID | None) -> NewEvent:
    return NewEvent(
        type="order.returned",
        subject=format_name("returns", key),
        contact=owner,
        revision=1,
        occur_time=item.return_time,
        data=events_pb2.OrderReturned(
            total=to_money(item.total, item.currency),
            order=format_name("orders", item.order_id) if item.order_id else "",
            line_count=len(item.lines),
        ),
        historical=item.historical,
    )
