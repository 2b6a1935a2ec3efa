"""Queries on places under frequency caps: taken as a message is let go, given back when it failed."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import datetime
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy import Connection
from sqlalchemy.dialects import postgresql as pg

from services.campaign.domain.policies import Cap
from services.campaign.models import recent_send

_UUIDS = pg.ARRAY(pg.UUID(as_uuid=True))
_TEXTS = pg.ARRAY(sa.Text)
_TIMES = pg.ARRAY(sa.DateTime(timezone=True))

# All messages of a batch are under the same caps. A place of the message itself, from an attempt before this one,
# does not stand in its way.
_FULL = sa.text("""
SELECT wanted.message_id, cap.number, newest.time
FROM unnest(CAST(:messages AS uuid[]), CAST(:contacts AS uuid[])) AS wanted (message_id, contact_id)
CROSS JOIN unnest(:sinces, :counts, :channels, :topics) WITH ORDINALITY
    AS cap (since, count, channel, topic, number)
CROSS JOIN LATERAL (
    SELECT recent_send.time FROM recent_send
    WHERE recent_send.contact_id = wanted.contact_id AND recent_send.time > cap.since
    AND recent_send.message_id <> wanted.message_id
    AND (cap.channel = '' OR recent_send.channel = cap.channel)
    AND (cap.topic = '' OR recent_send.topic = cap.topic)
    ORDER BY recent_send.time DESC OFFSET cap.count - 1 LIMIT 1
) AS newest
""").bindparams(
    sa.bindparam("channels", type_=_TEXTS),
    sa.bindparam("topics", type_=_TEXTS),
    sa.bindparam("sinces", type_=_TIMES),
    sa.bindparam("counts", type_=pg.ARRAY(sa.Integer)),
)
_TAKE = sa.text("""
INSERT INTO recent_send (contact_id, message_id, channel, topic, time)
SELECT item.contact_id, item.message_id, :channel, :topic, :now
FROM unnest(CAST(:contacts AS uuid[]), CAST(:messages AS uuid[])) AS item (contact_id, message_id)
ON CONFLICT (contact_id, message_id) DO UPDATE SET time = excluded.time
""").bindparams(sa.bindparam("now", type_=sa.DateTime(timezone=True)))
# One row in place of one for each key.
_LOCK = sa.text("""
SELECT count(pg_advisory_xact_lock(key)) FROM unnest(CAST(:keys AS bigint[])) AS contact (key)
""")


def lock(connection: Connection, contacts: Collection[UUID]) -> None:
    """Keep other senders from counting what these contacts got, until the transaction ends.

    All senders lock in the order of the keys, so that none waits for one that waits for it. The key is the random
    half of the id: two contacts that share one by chance only wait for each other.
    """
    keys = sorted({int.from_bytes(contact.bytes[8:], "big", signed=True) for contact in contacts})
    connection.execute(_LOCK, {"keys": _array(keys)})


def _array(items: Iterable[object]) -> str:
    """Return ids or numbers as the text of an array, which costs a tenth of an array in the driver."""
    return "{" + ",".join(map(str, items)) + "}"


def full(
    connection: Connection,
    messages: Mapping[UUID, UUID],
    channel: str,
    topic: str,
    caps: Sequence[Cap],
    now: datetime,
) -> Mapping[UUID, tuple[Cap, datetime]]:
    """Return the messages that are over a cap now: which one, and when the last of theirs has a place again.

    messages: of a channel and topic, each with its contact. The contacts must be locked, in a statement before this one
    so that it sees what was committed meanwhile.
    """
    rows = connection.execute(
        _FULL,
        {
            "messages": _array(messages),
            "contacts": _array(messages.values()),
            "sinces": [now - cap.period for cap in caps],
            "counts": [cap.count for cap in caps],
            "channels": [channel if cap.of_channel else "" for cap in caps],
            "topics": [topic if cap.of_topic else "" for cap in caps],
        },
    )
    found: dict[UUID, tuple[Cap, datetime]] = {}
    for message_id, number, time in rows:
        cap = caps[number - 1]
        free = time + cap.period
        if message_id not in found or free > found[message_id][1]:
            found[message_id] = (cap, free)
    return found


def take(
    connection: Connection, messages: Mapping[UUID, UUID], channel: str, topic: str, now: datetime
) -> None:
    """Write down that messages, each with its contact, leave now; one that has a place keeps it, from now on."""
    if messages:
        connection.execute(
            _TAKE,
            {
                "contacts": _array(messages.values()),
                "messages": _array(messages),
                "channel": channel,
                "topic": topic,
                "now": now,
            },
        )


def give_back(connection: Connection, pairs: Collection[tuple[UUID, UUID]]) -> None:
    """Forget places of (contact, message) pairs that certainly did not leave."""
    if not pairs:
        return
    item = (
        sa.func.unnest(
            sa.cast([contact for contact, _ in pairs], _UUIDS),
            sa.cast([message for _, message in pairs], _UUIDS),
        )
        .table_valued("contact_id", "message_id", name="item")
        .render_derived()
    )
    connection.execute(
        sa.delete(recent_send).where(
            recent_send.c.contact_id == item.c.contact_id, recent_send.c.message_id == item.c.message_id
        )
    )


def forget(connection: Connection, before: datetime, limit: int) -> int:
    """Delete places of before a time, at most `limit`, and return how many."""
    chosen = (
        sa.select(recent_send.c.contact_id, recent_send.c.message_id)
        .where(recent_send.c.time < before)
        .limit(limit)
        .with_for_update(skip_locked=True)
        .cte("chosen")
    )
    statement = sa.delete(recent_send).where(
        recent_send.c.contact_id == chosen.c.contact_id, recent_send.c.message_id == chosen.c.message_id
    )
    return connection.execute(statement).rowcount
