"""Queries on rate limits, and the buckets from which all senders take places.

A bucket is the generic cell rate algorithm (ATM Forum, Traffic Management 4.0, 4.4.2): one time per bucket, the
theoretical arrival time of the next message. It lies in the future by what is used up; `burst` places may be used up
at most.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import sqlalchemy as sa
from sqlalchemy import Connection
from sqlalchemy.dialects import postgresql as pg

from services.campaign.domain.buckets import grant_of
from services.campaign.domain.rates import Bucket, Grant, RateLimit, RateLimits
from services.campaign.models import rate_bucket, rate_limit

_TEXTS = pg.ARRAY(sa.Text)
_ARRAYS = (
    sa.bindparam("keys", type_=_TEXTS),
    sa.bindparam("gaps", type_=pg.ARRAY(sa.Double)),
    sa.bindparam("bursts", type_=pg.ARRAY(sa.Integer)),
    sa.bindparam("counts", type_=pg.ARRAY(sa.Integer)),
)

# The one place that reads a clock other than the business clock: what limits bound is the real rate at which a
# provider sees messages, and only the database's clock is one for all senders. The business clock may stand still, be
# set, or differ.
#
# Rows are locked in the order of their keys. Who had to wait for one counts with the moment before it waited, which
# gives it less rather than more.
_TAKE = sa.text("""
WITH moment AS MATERIALIZED (SELECT clock_timestamp() AS now)
INSERT INTO rate_bucket AS bucket (key, gap, burst, asked, granted, ask_time, tat)
SELECT wanted.key, wanted.gap, wanted.burst, wanted.count, least(wanted.count, wanted.burst), moment.now,
    moment.now + make_interval(secs => least(wanted.count, wanted.burst) * wanted.gap)
FROM unnest(:keys, :gaps, :bursts, :counts) AS wanted (key, gap, burst, count), moment
ORDER BY wanted.key
ON CONFLICT (key) DO UPDATE SET
    gap = excluded.gap, burst = excluded.burst, asked = excluded.asked, ask_time = excluded.ask_time,
    granted = least(excluded.asked, greatest(0, floor(excluded.burst + 0.000001
        - extract(epoch FROM greatest(bucket.tat - excluded.ask_time, interval '0')) / excluded.gap)))::integer,
    tat = greatest(bucket.tat, excluded.ask_time) + make_interval(secs => excluded.gap
        * least(excluded.asked, greatest(0, floor(excluded.burst + 0.000001
        - extract(epoch FROM greatest(bucket.tat - excluded.ask_time, interval '0')) / excluded.gap)))::integer)
RETURNING key, granted, gap, burst, extract(epoch FROM tat - ask_time)::double precision AS used
""").bindparams(*_ARRAYS)
_RETURN = sa.text("""
WITH known AS MATERIALIZED (
    SELECT rate_bucket.key, wanted.count
    FROM rate_bucket JOIN unnest(:keys, :counts) AS wanted (key, count) ON wanted.key = rate_bucket.key
    ORDER BY rate_bucket.key FOR UPDATE OF rate_bucket
)
UPDATE rate_bucket SET tat = tat - make_interval(secs => gap * known.count)
FROM known WHERE known.key = rate_bucket.key
""").bindparams(_ARRAYS[0], _ARRAYS[3])
_FORGET = sa.text("""
DELETE FROM rate_bucket WHERE tat < clock_timestamp() - interval '1 hour'
""")


def take(connection: Connection, wanted: Mapping[Bucket, int]) -> dict[Bucket, Grant]:
    """Take up to so many places of each bucket, and tell when more come; one round trip, to be committed at once.

    Places that are not used are to be given back soon.
    """
    if not wanted:
        return {}
    by_key = {bucket.key: bucket for bucket in wanted}
    rows = connection.execute(
        _TAKE,
        {
            "keys": list(by_key),
            "gaps": [1 / bucket.per_second for bucket in by_key.values()],
            "bursts": [bucket.burst for bucket in by_key.values()],
            "counts": [wanted[bucket] for bucket in by_key.values()],
        },
    )
    return {by_key[row.key]: grant_of(row.granted, row.used, row.gap, row.burst) for row in rows}


def give_back(connection: Connection, unused: Mapping[Bucket, int]) -> None:
    """Give places back that were not used; one round trip."""
    given = {bucket.key: count for bucket, count in unused.items() if count > 0}
    if given:
        connection.execute(_RETURN, {"keys": list(given), "counts": list(given.values())})


def forget_idle(connection: Connection) -> int:
    """Delete the buckets that have been full for an hour, such as those of domains that nobody writes to; how many."""
    return connection.execute(_FORGET).rowcount


def load(connection: Connection) -> RateLimits:
    """Return all limits, of which there are few."""
    return RateLimits(
        _decode(row) for row in connection.execute(sa.select(rate_limit).order_by(rate_limit.c.id))
    )


def get(connection: Connection, key: str, *, lock: bool = False) -> RateLimit | None:
    """Return a limit, or None; lock: until the transaction ends."""
    query = sa.select(rate_limit).where(rate_limit.c.id == key)
    row = connection.execute(query.with_for_update() if lock else query).one_or_none()
    return None if row is None else _decode(row)


def page(connection: Connection, *, after: str, count: int) -> list[RateLimit]:
    """Return the next limits by id."""
    query = sa.select(rate_limit).where(rate_limit.c.id > after).order_by(rate_limit.c.id).limit(count)
    return [_decode(row) for row in connection.execute(query)]


def insert(connection: Connection, item: RateLimit) -> bool:
    """Write a new limit; False when there is one of that id."""
    statement = pg.insert(rate_limit).values(_encode(item)).on_conflict_do_nothing()
    return connection.execute(statement.returning(rate_limit.c.id)).first() is not None


def update(connection: Connection, item: RateLimit) -> None:
    """Write a limit that is there."""
    connection.execute(sa.update(rate_limit).where(rate_limit.c.id == item.id).values(_encode(item)))


def delete(connection: Connection, key: str) -> None:
    """Delete a limit and its buckets."""
    connection.execute(sa.delete(rate_limit).where(rate_limit.c.id == key))
    connection.execute(
        sa.delete(rate_bucket).where(
            sa.or_(rate_bucket.c.key == key, rate_bucket.c.key.startswith(f"{key}:", autoescape=True))
        )
    )


def _encode(item: RateLimit) -> dict[str, Any]:
    return {name: getattr(item, name) for name in RateLimit.__dataclass_fields__} | {
        "channels": list(item.channels)
    }


def _decode(row: sa.Row[Any]) -> RateLimit:
    values = dict(row._mapping)
    return RateLimit(channels=tuple(values.pop("channels")), **values)


def buckets_of(wanted: Sequence[Sequence[Bucket]]) -> dict[Bucket, int]:
    """Count how often each bucket is needed."""
    counts: dict[Bucket, int] = {}
    for buckets in wanted:
        for bucket in buckets:
            counts[bucket] = counts.get(bucket, 0) + 1
    return counts
