"""Reading and writing the lines of orders and returns."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy import Connection, Table
from sqlalchemy.dialects import postgresql as pg

from services.kit.db import copy_rows
from services.sales.domain import Line


def copy_lines(
    connection: Connection, table: Table, owner: str, documents: Iterable[tuple[UUID, Sequence[Line]]]
) -> None:
    """Write the lines of several documents by one COPY; `owner` is the column that names the document."""
    copy_rows(
        connection,
        table,
        (owner, "index", "product_code", "quantity", "unit_price", "amount"),
        (
            (key, index, line.product_code, line.quantity, line.unit_price, line.amount)
            for key, lines in documents
            for index, line in enumerate(lines)
        ),
    )


def lines_of(
    connection: Connection, table: Table, owner: str, keys: Sequence[UUID]
) -> dict[UUID, list[Line]]:
    """Return the lines of several documents, in their order."""
    column = table.c[owner]
    rows = connection.execute(
        sa.select(column, table.c.product_code, table.c.quantity, table.c.unit_price, table.c.amount)
        .where(column == sa.func.any(sa.bindparam("keys", type_=pg.ARRAY(pg.UUID(as_uuid=True)))))
        .order_by(column, table.c.index),
        {"keys": list(keys)},
    )
    found: dict[UUID, list[Line]] = {key: [] for key in keys}
    for key, product_code, quantity, unit_price, amount in rows:
        found[key].append(Line(product_code, quantity, unit_price, amount))
    return found
