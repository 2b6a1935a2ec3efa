"""What records point to: contacts, and orders of returns and payments."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from uuid import UUID

from sqlalchemy import Connection

from services.kit import gone
from services.kit.errors import FieldViolation, NotFound
from services.kit.names import format_name
from services.sales.domain import Order, Payment, Return
from services.sales.models import contact_gone
from services.sales.store import orders as store
from services.sales.store.batches import Owners

_MOST_NAMED = 20


def owners_of(connection: Connection, records: Iterable[Order | Return | Payment]) -> Owners:
    """Return whose records are now: of one that was merged those of who remains, of an erased one nobody's."""
    keys = {record.contact_id for record in records if record.contact_id is not None}
    owners: dict[UUID | None, UUID | None] = {None: None}
    for key, owner in gone.current(connection, contact_gone, keys).items():
        owners[key] = owner
    return owners


def require_orders(connection: Connection, field: str, records: Sequence[Return | Payment]) -> None:
    """Raise NotFound (ORDER_NOT_FOUND) that names the records whose order does not exist."""
    wanted: dict[UUID, int] = {}
    for index, record in enumerate(records):
        if record.order_id is not None:
            wanted.setdefault(record.order_id, index)
    missing = wanted.keys() - store.existing(connection, wanted)
    if not missing:
        return
    violations = [
        FieldViolation(f"{field}[{index}].order", f"{format_name('orders', key)} does not exist")
        for key, index in wanted.items()
        if key in missing
    ]
    more = f"; and {len(violations) - 1} more" if len(violations) > 1 else ""
    raise NotFound(
        f"{violations[0].field}: {violations[0].description}{more}",
        reason="ORDER_NOT_FOUND",
        metadata={"resource": violations[0].description.split(" ", 1)[0]},
        violations=violations[:_MOST_NAMED],
    )
