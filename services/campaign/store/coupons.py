"""Queries on coupon pools and coupons."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy import Connection, Row
from sqlalchemy.dialects import postgresql as pg

from services.campaign.domain.coupons import Coupon, Pool, lookup_key
from services.campaign.models import coupon, coupon_code, coupon_pool, message

_UUIDS = pg.ARRAY(pg.UUID(as_uuid=True))
_TEXTS = pg.ARRAY(sa.Text)
_RESERVE = sa.text("""
UPDATE coupon_code SET message_id = wanted.id
FROM (
    SELECT key, row_number() OVER (ORDER BY key) AS place FROM (
        SELECT key FROM coupon_code WHERE pool_id = :pool AND message_id IS NULL ORDER BY key LIMIT :count
    ) AS first
) AS free
JOIN unnest(:messages) WITH ORDINALITY AS wanted (id, place) USING (place)
WHERE coupon_code.key = free.key
RETURNING coupon_code.message_id, coupon_code.code
""").bindparams(sa.bindparam("messages", type_=_UUIDS))
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


def pool_ids(connection: Connection, count: int) -> list[str]:
    """Return the first ids of pools."""
    return list(connection.scalars(sa.select(coupon_pool.c.id).order_by(coupon_pool.c.id).limit(count)))


def pools(connection: Connection, keys: Collection[str]) -> dict[str, Pool]:
    """Return the pools of the ids that there are, without counts."""
    if not keys:
        return {}
    query = sa.select(coupon_pool).where(coupon_pool.c.id == sa.any_(sa.cast(list(keys), pg.ARRAY(sa.Text))))
    return {row.id: Pool(**row._mapping) for row in connection.execute(query)}


def issue(connection: Connection, coupons: Sequence[Coupon]) -> None:
    """Write new coupons; uploaded codes leave their pool."""
    if not coupons:
        return
    connection.execute(
        sa.insert(coupon),
        [
            {
                "key": lookup_key(item.code),
                "code": item.code,
                "pool_id": item.pool_id,
                "contact_id": item.contact_id,
                "message_id": item.message_id,
                "issue_time": item.issue_time,
            }
            for item in coupons
        ],
    )
    if uploaded := [item.message_id for item in coupons if item.imported]:
        connection.execute(
            sa.delete(coupon_code).where(coupon_code.c.message_id == sa.any_(sa.cast(uploaded, _UUIDS)))
        )


def reserve(connection: Connection, pool: str, messages: Sequence[UUID]) -> dict[UUID, str]:
    """Give each message a code of its own out of a pool, the same again on another attempt; fewer when it runs out."""
    query = sa.select(coupon_code.c.message_id, coupon_code.c.code).where(
        coupon_code.c.message_id == sa.any_(sa.cast(list(messages), _UUIDS))
    )
    given = {row.message_id: row.code for row in connection.execute(query)}
    left = [key for key in messages if key not in given]
    if left:
        # Who reserves at the same time waits here: with SKIP LOCKED codes of a transaction that fails would seem gone.
        lock_pool(connection, pool)
        for row in connection.execute(_RESERVE, {"pool": pool, "messages": left, "count": len(left)}):
            given[row.message_id] = row.code
    return given


def release(connection: Connection, messages: Sequence[UUID]) -> None:
    """Make the codes of messages that do not leave free again."""
    connection.execute(
        sa.update(coupon_code)
        .where(coupon_code.c.message_id == sa.any_(sa.cast(list(messages), _UUIDS)))
        .values(message_id=None)
    )


def release_ended(connection: Connection) -> int:
    """Make codes free again whose messages ended without them, such as cancelled ones; returns how many."""
    statement = (
        sa.update(coupon_code)
        .where(
            coupon_code.c.message_id == message.c.id,
            message.c.state.in_(("failed", "suppressed", "cancelled")),
        )
        .values(message_id=None)
    )
    return connection.execute(statement).rowcount


def lock_pool(connection: Connection, key: str) -> Pool | None:
    """Return a pool without counts, locked until the transaction ends; None when there is none."""
    query = sa.select(coupon_pool).where(coupon_pool.c.id == key).with_for_update(key_share=True)
    row = connection.execute(query).one_or_none()
    return None if row is None else Pool(**row._mapping)


def add_codes(connection: Connection, pool: str, codes: Mapping[str, str]) -> list[str]:
    """Put uploaded codes, by their keys, into a locked pool; returns the keys that are taken already."""
    keys = list(codes)
    connection.execute(sa.update(coupon_pool).where(coupon_pool.c.id == pool).values(imported=True))
    wanted = (
        sa.func.unnest(sa.cast(keys, _TEXTS), sa.cast(list(codes.values()), _TEXTS))
        .table_valued("key", "code")
        .render_derived()
    )
    fresh = sa.select(wanted.c.key, wanted.c.code, sa.literal(pool)).where(
        ~sa.exists().where(coupon.c.key == wanted.c.key)
    )
    statement = (
        pg.insert(coupon_code)
        .from_select(["key", "code", "pool_id"], fresh)
        .on_conflict_do_nothing(index_elements=["key"])
        .returning(coupon_code.c.key)
    )
    added = set(connection.scalars(statement))
    return [key for key in keys if key not in added]


def free_count(connection: Connection, pool: str) -> int:
    """Count the uploaded codes that no message has or is about to get."""
    query = sa.select(sa.func.count()).where(
        coupon_code.c.pool_id == pool, coupon_code.c.message_id.is_(None)
    )
    return int(connection.execute(query).scalar_one())


def has_issued(connection: Connection, pool: str) -> bool:
    """Say whether coupons of a pool were issued."""
    return bool(connection.scalar(sa.select(sa.exists().where(coupon.c.pool_id == pool))))


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
