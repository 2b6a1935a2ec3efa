"""Queries on the suppression list. Addresses come and are kept in the form that `normalise_address` gives."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy import Connection
from sqlalchemy.dialects import postgresql as pg

from services.campaign.models import suppression


@dataclass(frozen=True, slots=True)
class Suppressed:
    """Hold an entry of the list."""

    kind: str
    address: str
    reason: str
    create_time: datetime


# Made once: a campaign asks this for each few messages.
_FIND = sa.select(suppression.c.address).where(
    suppression.c.kind == sa.bindparam("kind"),
    suppression.c.address == sa.any_(sa.bindparam("addresses", type_=pg.ARRAY(sa.Text))),
)


def _items(pairs: Collection[tuple[str, str]]) -> Any:
    return (
        sa.func.unnest(
            sa.cast([kind for kind, _ in pairs], pg.ARRAY(sa.Text)),
            sa.cast([address for _, address in pairs], pg.ARRAY(sa.Text)),
        )
        .table_valued(sa.column("kind", sa.Text), sa.column("address", sa.Text), name="item")
        .render_derived()
    )


def add(connection: Connection, entries: Sequence[Suppressed]) -> int:
    """Write entries that are not there yet, of distinct addresses, and return how many."""
    ordered = sorted(entries, key=lambda entry: (entry.kind, entry.address))
    rows = [
        {"kind": item.kind, "address": item.address, "reason": item.reason, "create_time": item.create_time}
        for item in ordered
    ]
    statement = pg.insert(suppression).values(rows).on_conflict_do_nothing().returning(suppression.c.kind)
    return len(connection.scalars(statement).all())


def remove(connection: Connection, pairs: Collection[tuple[str, str]]) -> int:
    """Delete entries and return how many there were."""
    item = _items(pairs)
    statement = sa.delete(suppression).where(
        suppression.c.kind == item.c.kind, suppression.c.address == item.c.address
    )
    return connection.execute(statement).rowcount


def page(connection: Connection, *, after: tuple[str, str] | None, count: int) -> list[Suppressed]:
    """Return the next entries by kind and address."""
    query = sa.select(suppression).order_by(suppression.c.kind, suppression.c.address).limit(count)
    if after is not None:
        query = query.where(
            sa.tuple_(suppression.c.kind, suppression.c.address)
            > sa.tuple_(sa.literal(after[0], sa.Text), sa.literal(after[1], sa.Text))
        )
    return [Suppressed(**row._mapping) for row in connection.execute(query)]


def find(connection: Connection, pairs: Collection[tuple[str, str]]) -> set[tuple[str, str]]:
    """Return which of the (kind, address) pairs are on the list."""
    if not pairs:
        return set()
    found = set()
    for kind in {kind for kind, _ in pairs}:
        given = {"kind": kind, "addresses": [address for of, address in pairs if of == kind]}
        found |= {(kind, address) for address in connection.scalars(_FIND, given)}
    return found


def since(connection: Connection, pairs: Collection[tuple[str, str]]) -> dict[tuple[str, str], datetime]:
    """Return which of the (kind, address) pairs are on the list, and since when."""
    if not pairs:
        return {}
    item = _items(pairs)
    query = sa.select(suppression.c.kind, suppression.c.address, suppression.c.create_time).join(
        item, sa.and_(suppression.c.kind == item.c.kind, suppression.c.address == item.c.address)
    )
    return {(row[0], row[1]): row[2] for row in connection.execute(query)}
