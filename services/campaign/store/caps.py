"""Queries on places under frequency caps: taken as a message is let go, given back when it failed."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy import Connection
from sqlalchemy.dialects import postgresql as pg

from services.campaign.domain.policies import Cap, Send
from services.campaign.models import recent_send

_UUIDS = pg.ARRAY(pg.UUID(as_uuid=True))
_TEXTS = pg.ARRAY(sa.Text)
_TIMES = pg.ARRAY(sa.DateTime(timezone=True))

# A place of the message itself, from an attempt before this one, does not stand in its way.
_FULL = sa.text("""
SELECT wanted.message_id, wanted.cap, newest.time
FROM unnest(:messages, :contacts, :channels, :topics, :sinces, :counts, :caps)
    AS wanted (message_id, contact_id, channel, topic, since, count, cap)
CROSS JOIN LATERAL (
    SELECT recent_send.time FROM recent_send
    WHERE recent_send.contact_id = wanted.contact_id AND recent_send.time > wanted.since
    AND recent_send.message_id <> wanted.message_id
    AND (wanted.channel = '' OR recent_send.channel = wanted.channel)
    AND (wanted.topic = '' OR recent_send.topic = wanted.topic)
    ORDER BY recent_send.time DESC OFFSET wanted.count - 1 LIMIT 1
) AS newest
""").bindparams(
    sa.bindparam("messages", type_=_UUIDS),
    sa.bindparam("contacts", type_=_UUIDS),
    sa.bindparam("channels", type_=_TEXTS),
    sa.bindparam("topics", type_=_TEXTS),
    sa.bindparam("sinces", type_=_TIMES),
    sa.bindparam("counts", type_=pg.ARRAY(sa.Integer)),
    sa.bindparam("caps", type_=pg.ARRAY(sa.Integer)),
)
_LOCK = sa.text("SELECT pg_advisory_xact_lock(key) FROM unnest(:keys) AS contact (key)").bindparams(
    sa.bindparam("keys", type_=pg.ARRAY(sa.BigInteger))
)


def lock(connection: Connection, contacts: Collection[UUID]) -> None:
    """Keep other senders from counting what these contacts got, until the transaction ends.

    All senders lock in the order of the keys, so that none waits for one that waits for it. The key is the random
    half of the id: two contacts that share one by chance only wait for each other.
    """
    keys = sorted({int.from_bytes(contact.bytes[8:], "big", signed=True) for contact in contacts})
    connection.execute(_LOCK, {"keys": keys})


def full(
    connection: Connection, wanted: Sequence[tuple[Send, Sequence[Cap]]], now: datetime
) -> Mapping[UUID, tuple[Cap, datetime]]:
    """Return the messages that are over a cap now: which one, and when the last of theirs has a place again.

    The contacts must be locked, in a statement before this one so that it sees what was committed meanwhile.
    """
    asked = [(send, index, cap) for send, caps in wanted for index, cap in enumerate(caps)]
    if not asked:
        return {}
    rows = connection.execute(
        _FULL,
        {
            "messages": [send.message_id for send, _, _ in asked],
            "contacts": [send.contact_id for send, _, _ in asked],
            "channels": [send.channel if cap.of_channel else "" for send, _, cap in asked],
            "topics": [send.topic if cap.of_topic else "" for send, _, cap in asked],
            "sinces": [now - cap.period for _, _, cap in asked],
            "counts": [cap.count for _, _, cap in asked],
            "caps": [index for _, index, _ in asked],
        },
    )
    caps_of = {send.message_id: caps for send, caps in wanted}
    found: dict[UUID, tuple[Cap, datetime]] = {}
    for message_id, index, time in rows:
        cap = caps_of[message_id][index]
        free = time + cap.period
        if message_id not in found or free > found[message_id][1]:
            found[message_id] = (cap, free)
    return found


def take(connection: Connection, sends: Sequence[Send], now: datetime) -> None:
    """Write down that messages leave now; one that has a place keeps it, from now on."""
    if not sends:
        return
    item = (
        sa.func.unnest(
            sa.cast([send.contact_id for send in sends], _UUIDS),
            sa.cast([send.message_id for send in sends], _UUIDS),
            sa.cast([send.channel for send in sends], _TEXTS),
            sa.cast([send.topic for send in sends], _TEXTS),
        )
        .table_valued("contact_id", "message_id", "channel", "topic", name="item")
        .render_derived()
    )
    rows = sa.select(*item.c, sa.literal(now, sa.DateTime(timezone=True)))
    statement = pg.insert(recent_send).from_select(
        ["contact_id", "message_id", "channel", "topic", "time"], rows
    )
    connection.execute(
        statement.on_conflict_do_update(
            index_elements=["contact_id", "message_id"], set_={"time": statement.excluded.time}
        )
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
