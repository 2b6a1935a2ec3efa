"""Queries on products."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy import Connection, Row
from sqlalchemy.dialects import postgresql as pg

from services.kit.names import new_id
from services.sales.domain import Product
from services.sales.models import product
from services.sales.store.arrays import unnest

_COLUMNS = (product.c.id, product.c.code, product.c.title, product.c.category)


def _upsert() -> sa.Executable:
    item = unnest({"id": pg.UUID(as_uuid=True), "code": sa.Text(), "title": sa.Text(), "category": sa.Text()})
    now = sa.bindparam("now", type_=sa.DateTime(timezone=True))
    rows = sa.select(item.c.id, item.c.code, item.c.title, item.c.category, now, now).order_by(
        item.c.code.collate("C")
    )
    insert = pg.insert(product).from_select(
        ["id", "code", "title", "category", "create_time", "update_time"], rows
    )
    title = sa.func.coalesce(sa.func.nullif(insert.excluded.title, ""), product.c.title)
    category = sa.func.coalesce(sa.func.nullif(insert.excluded.category, ""), product.c.category)
    return insert.on_conflict_do_update(
        index_elements=["code"],
        set_={"title": title, "category": category, "update_time": insert.excluded.update_time},
        where=sa.tuple_(title, category).is_distinct_from(sa.tuple_(product.c.title, product.c.category)),
        # xmax is 0 on a row version that was inserted and not updated.
    ).returning(sa.literal_column("(xmax = 0)", sa.Boolean).label("created"))


_UPSERT = _upsert()
_BY_CODE = sa.select(*_COLUMNS).where(product.c.code == sa.bindparam("code"))
_PAGE = (
    sa.select(*_COLUMNS)
    .where(product.c.code > sa.bindparam("after"))
    .order_by(product.c.code)
    .limit(sa.bindparam("count", type_=sa.Integer))
)
_CATEGORIES = sa.select(product.c.code, product.c.category).where(
    product.c.code == sa.func.any(sa.bindparam("codes", type_=pg.ARRAY(sa.Text)))
)


def upsert(connection: Connection, products: Sequence[Product], now: datetime) -> tuple[int, int]:
    """Create or change products by code and return how many of each; equal ones are left alone."""
    created = connection.scalars(
        _UPSERT,
        {
            "id": [new_id() for _ in products],
            "code": [item.code for item in products],
            "title": [item.title for item in products],
            "category": [item.category for item in products],
            "now": now,
        },
    ).all()
    return sum(created), len(created) - sum(created)


def get(connection: Connection, code: str) -> Product | None:
    """Return the product with a code, or None."""
    row = connection.execute(_BY_CODE, {"code": code}).one_or_none()
    return None if row is None else _product(row)


def page(connection: Connection, *, after: str, count: int) -> list[Product]:
    """Return the next products by code."""
    return [_product(row) for row in connection.execute(_PAGE, {"after": after, "count": count})]


def categories(connection: Connection, codes: Collection[str]) -> dict[str, str]:
    """Return the category of each of the codes that exist."""
    rows = connection.execute(_CATEGORIES, {"codes": list(codes)})
    return {row.code: row.category for row in rows}


def _product(row: Row[Any, Any, Any, Any]) -> Product:
    return Product(id=row.id, code=row.code, title=row.title, category=row.category)
