"""Keyset pages of documents, newest first."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy import Column, Select, Table

Position = tuple[datetime, UUID]


def newest(
    columns: Sequence[Column[Any]],
    table: Table,
    time: str,
    *,
    contact_id: UUID | None,
    after: Position | None,
    count: int,
) -> Select[Any]:
    """Build the query of one page: time and id descend; `after` is the last row of the page before."""
    query = sa.select(*columns).order_by(table.c[time].desc(), table.c.id.desc()).limit(count)
    if contact_id is not None:
        query = query.where(table.c.contact_id == contact_id)
    if after is not None:
        query = query.where(
            sa.tuple_(table.c[time], table.c.id) < sa.tuple_(sa.literal(after[0]), sa.literal(after[1]))
        )
    return query
