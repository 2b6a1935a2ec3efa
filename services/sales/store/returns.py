"""Queries on returns."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from datetime import datetime
from uuid import UUID

from sqlalchemy import Connection

from services.sales.domain import Key, Return
from services.sales.models import sales_return, sales_return_line
from services.sales.store.batches import BatchWriter, Known, Owners
from services.sales.store.lines import copy_lines, lines_of
from services.sales.store.pages import Position, newest

_WRITER = BatchWriter(sales_return)
_COLUMNS = [column for column in sales_return.columns if column.name not in ("content_hash", "create_time")]


def insert_new(
    connection: Connection, returns: Mapping[UUID, Return], now: datetime, owners: Owners
) -> set[Key]:
    """Write the returns whose key is new, without their lines, and return the keys of these."""
    return _WRITER.insert(
        connection,
        [
            {
                "id": key,
                "contact_id": owners[item.contact_id],
                "order_id": item.order_id,
                "source": item.source,
                "external_id": item.external_id,
                "content_hash": item.content_hash,
                "return_time": item.return_time,
                "currency": item.currency,
                "total": item.total,
                "historical": item.historical,
                "create_time": now,
            }
            for key, item in returns.items()
        ],
    )


def insert_lines(connection: Connection, returns: Mapping[UUID, Return]) -> None:
    """Write the lines of new returns."""
    copy_lines(
        connection, sales_return_line, "return_id", ((key, item.lines) for key, item in returns.items())
    )


def known(connection: Connection, keys: Iterable[Key]) -> dict[Key, Known]:
    """Return the id and content of the returns that are stored under the keys."""
    return _WRITER.known(connection, keys)


def page(
    connection: Connection, *, contact_id: UUID | None, after: Position | None, count: int
) -> list[Return]:
    """Return the next returns with their lines, newest first."""
    query = newest(_COLUMNS, sales_return, "return_time", contact_id=contact_id, after=after, count=count)
    found = [Return(**row._mapping, lines=()) for row in connection.execute(query)]
    lines = lines_of(connection, sales_return_line, "return_id", [item.id for item in found if item.id])
    return [replace(item, lines=lines[item.id]) for item in found if item.id]
