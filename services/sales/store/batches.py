"""Set-based writing of records that other systems identify by (source, external_id)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy import Connection, Table
from sqlalchemy.dialects import postgresql as pg
from sqlalchemy.types import TypeEngine

from services.sales.domain import Key
from services.sales.store.arrays import unnest

Owners = Mapping[UUID | None, UUID | None]
"""The contact that the records of each contact are of: itself, one that it was merged into, or None."""


@dataclass(frozen=True, slots=True)
class Known:
    """Say what is stored under a key."""

    id: UUID
    content_hash: bytes


class BatchWriter:
    """Insert the new ones of a batch of records into one table, in one statement.

    Two callers that bring the same key at once meet in the unique index: the second waits for the first and
    then leaves the row out. Rows go in by key order, so that such callers cannot wait for each other in a
    circle.
    """

    def __init__(self, table: Table) -> None:
        """Prepare the statements for a table with `source` and `external_id`."""
        self._table = table
        names = [column.name for column in table.columns]
        item = unnest({column.name: _plain(column.type) for column in table.columns})
        insert = pg.insert(table).from_select(
            names,
            sa.select(*(item.c[name] for name in names)).order_by(
                item.c.source.collate("C"), item.c.external_id.collate("C")
            ),
        )
        self._insert = insert.on_conflict_do_nothing(index_elements=["source", "external_id"]).returning(
            table.c.source, table.c.external_id
        )
        if "content_hash" in table.c:
            wanted = unnest({"source": sa.Text(), "external_id": sa.Text()})
            self._known = sa.select(
                table.c.source, table.c.external_id, table.c.id, table.c.content_hash
            ).join(
                wanted,
                sa.and_(table.c.source == wanted.c.source, table.c.external_id == wanted.c.external_id),
            )

    def insert(self, connection: Connection, rows: Sequence[Mapping[str, object]]) -> set[Key]:
        """Insert the rows whose key is not there yet and return the keys of these."""
        if not rows:
            return set()
        values = {column.name: [row[column.name] for row in rows] for column in self._table.columns}
        return {(source, external_id) for source, external_id in connection.execute(self._insert, values)}

    def known(self, connection: Connection, keys: Iterable[Key]) -> dict[Key, Known]:
        """Return what is stored under the keys; keys that are not there are left out."""
        wanted = list(keys)
        if not wanted:
            return {}
        found = connection.execute(
            self._known, {"source": [key[0] for key in wanted], "external_id": [key[1] for key in wanted]}
        )
        return {(row.source, row.external_id): Known(row.id, bytes(row.content_hash)) for row in found}


def _plain(kind: TypeEngine[Any]) -> TypeEngine[Any]:
    # The cast of an array parameter must not carry the column's collation.
    return sa.Text() if isinstance(kind, sa.Text) else kind
