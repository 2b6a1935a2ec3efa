"""Queries on the rows that imports refused."""

from __future__ import annotations

from collections.abc import Iterable
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy import Connection

from services.contacts.domain.imports.errors import RowError
from services.contacts.models import import_error, kit
from services.kit.db import copy_rows

KIND = "import_contacts"
_COLUMNS = ("operation_id", "line", "column", "reason", "row")


def insert_errors(connection: Connection, operation_id: UUID, errors: Iterable[RowError]) -> None:
    """Write refused rows."""
    rows = [(operation_id, one.line, one.column, one.reason, one.row) for one in errors]
    if rows:
        copy_rows(connection, import_error, _COLUMNS, rows)


def exists(connection: Connection, operation_id: UUID) -> bool:
    """Tell whether there is an import with this id."""
    operation = kit.operation
    query = sa.select(operation.c.id).where(operation.c.id == operation_id, operation.c.kind == KIND)
    return connection.execute(query).first() is not None


def error_page(connection: Connection, operation_id: UUID, after: int, limit: int) -> list[RowError]:
    """Return refused rows by line, those behind `after`."""
    query = (
        sa.select(import_error)
        .where(import_error.c.operation_id == operation_id, import_error.c.line > after)
        .order_by(import_error.c.line)
        .limit(limit)
    )
    return [RowError(row.line, row.column, row.reason, row.row) for row in connection.execute(query)]
