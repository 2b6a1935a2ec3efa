"""Queries on lines that name no customer."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import Connection

from services.sales.domain import UnattributedLine
from services.sales.models import unattributed_line
from services.sales.store.batches import BatchWriter

_WRITER = BatchWriter(unattributed_line)


def insert_new(connection: Connection, lines: Sequence[UnattributedLine], now: datetime) -> int:
    """Write the lines whose key is new, of each key the first, and return how many."""
    inserted = _WRITER.insert(
        connection,
        [
            {
                "source": line.source,
                "external_id": line.external_id,
                "document": line.document,
                "occur_time": line.occur_time,
                "product_code": line.product_code,
                "quantity": line.quantity,
                "currency": line.unit_price.currency,
                "unit_price": line.unit_price.value,
                "create_time": now,
            }
            for line in lines
        ],
    )
    return len(inserted)
