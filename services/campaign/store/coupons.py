"""Queries on coupon pools and coupons."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy import Connection, Row
from sqlalchemy.dialects import postgresql as pg

from services.campaign.domain.coupons import Coupon, Pool, key_of
from services.campaign.models import coupon, coupon_pool

_COUPON = [column for column in coupon.columns if column.name != "key"]


def insert_pool(connection: Connection, pool: Pool) -> bool:
    """Write a new pool; False when there is one of that id."""
    statement = (
        pg.insert(coupon_pool)
        .values(
            id=pool.id,
            display_name=pool.display_name,
            prefix=pool.prefix,
            expire_time=pool.expire_time,
            personal=pool.personal,
            create_time=pool.create_time,
        )
        .on_conflict_do_nothing(index_elements=["id"])
        .returning(coupon_pool.c.id)
    )
    return connection.execute(statement).first() is not None


def _with_counts() -> sa.Select[Any]:
    counts = (
        sa.select(
            sa.func.count().label("issued_count"), sa.func.count(coupon.c.redeem_time).label("redeemed_count")
        )
        .where(coupon.c.pool_id == coupon_pool.c.id)
        .lateral()
    )
    return sa.select(coupon_pool, counts.c.issued_count, counts.c.redeemed_count).join(counts, sa.true())


def get_pool(connection: Connection, key: str) -> Pool | None:
    """Return a pool with its counts, or None."""
    row = connection.execute(_with_counts().where(coupon_pool.c.id == key)).one_or_none()
    return None if row is None else Pool(**row._mapping)


def page_of_pools(connection: Connection, *, after: str, count: int) -> list[Pool]:
    """Return the next pools by id, with their counts."""
    # The page is cut before the counts, which are then made for its pools only.
    keys = sa.select(coupon_pool.c.id).where(coupon_pool.c.id > after).order_by(coupon_pool.c.id).limit(count)
    query = _with_counts().where(coupon_pool.c.id.in_(keys)).order_by(coupon_pool.c.id)
    return [Pool(**row._mapping) for row in connection.execute(query)]


def pools(connection: Connection, keys: Collection[str]) -> dict[str, Pool]:
    """Return the pools of the ids that there are, without counts."""
    if not keys:
        return {}
    query = sa.select(coupon_pool).where(coupon_pool.c.id == sa.any_(sa.cast(list(keys), pg.ARRAY(sa.Text))))
    return {row.id: Pool(**row._mapping) for row in connection.execute(query)}


def issue(connection: Connection, coupons: Sequence[Coupon]) -> None:
    """Write new coupons."""
    if coupons:
        connection.execute(
            sa.insert(coupon),
            [
                {
                    "key": key_of(item.code),
                    "code": item.code,
                    "pool_id": item.pool_id,
                    "contact_id": item.contact_id,
                    "message_id": item.message_id,
                    "issue_time": item.issue_time,
                }
                for item in coupons
            ],
        )


def lock(connection: Connection, key: str) -> Coupon | None:
    """Return a coupon by the key of its code, locked until the transaction ends; None when there is none."""
    row = connection.execute(sa.select(*_COUPON).where(coupon.c.key == key).with_for_update()).one_or_none()
    return None if row is None else _coupon(row)


def redeem(connection: Connection, key: str, order_id: UUID, time: datetime) -> Coupon:
    """Mark a locked coupon redeemed and return it."""
    statement = sa.update(coupon).where(coupon.c.key == key).values(redeem_time=time, order_id=order_id)
    return _coupon(connection.execute(statement.returning(*_COUPON)).one())


def _coupon(row: Row[Any]) -> Coupon:
    return Coupon(**row._mapping)
