"""Queries on the sales of contacts that were merged into another one or erased."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from uuid import UUID

from sqlalchemy import Connection

from services.kit import gone

_TABLES = ("sales_order", "sales_return", "payment")


def hand_over(connection: Connection, heirs: Mapping[UUID, UUID | None]) -> None:
    """Make orders, returns and payments those of the contacts that remain, or of nobody."""
    for table in _TABLES:
        connection.exec_driver_sql(
            f"UPDATE {table} AS t SET contact_id = n.heir "
            "FROM unnest(%(ids)s::uuid[], %(heirs)s::uuid[]) AS n(contact_id, heir) "
            "WHERE t.contact_id = n.contact_id",
            {"ids": list(heirs), "heirs": list(heirs.values())},
        )


def forget(connection: Connection, contact_ids: Sequence[UUID]) -> None:
    """Delete what was told of erased contacts; what they bought stays as a record of the business."""
    gone.forget_told(connection, contact_ids)
