"""Queries of the senders: who takes which message, hands it over, and says what became of it."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy import Connection
from sqlalchemy.dialects import postgresql as pg

from services.campaign.domain.campaigns import CANCELLED as CAMPAIGN_CANCELLED
from services.campaign.domain.campaigns import OPEN_TO_SENDERS
from services.campaign.domain.ledger import CANCELLED, CLAIMED, FAILED, PLANNED, SENDING, UNKNOWN
from services.campaign.models import campaign, channel, message
from services.kit.locks import lock_key

_UUIDS = pg.ARRAY(pg.UUID(as_uuid=True))
_TEXTS = pg.ARRAY(sa.Text)


@dataclass(frozen=True, slots=True, kw_only=True)
class Claim:
    """Hold a message in this sender's hand."""

    id: UUID
    origin: str
    entry_id: UUID
    step: int
    contact_id: UUID | None
    channel: str
    topic: str
    template_id: str
    coupon_pool_id: str
    coupon_code: str
    attempt_count: int
    subject: str
    content: Mapping[str, Any] | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """Say what became of a message that was in hand.

    tried: whether it counts as an attempt that was handed over. due_time: for `planned`, when it is tried again.
    """

    claim: Claim
    state: str
    reason: str = ""
    due_time: datetime
    send_time: datetime | None = None
    provider_id: str = ""
    tried: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class HandOver:
    """Hold what is recorded of a message before it leaves."""

    claim: Claim
    subject: str
    recipient_hash: bytes
    coupon_code: str


_CLAIM = [message.c[name] for name in Claim.__dataclass_fields__]

# Steps from one (channel, lane) to the next along the index, so that a million messages of one campaign cost as
# little as one.
_LANES = sa.text("""
WITH RECURSIVE lane AS (
    (SELECT channel, lane FROM message WHERE state = 'planned' ORDER BY channel, lane LIMIT 1)
    UNION ALL
    SELECT following.channel, following.lane
    FROM lane CROSS JOIN LATERAL (
        SELECT message.channel, message.lane FROM message
        WHERE state = 'planned' AND (message.channel, message.lane) > (lane.channel, lane.lane)
        ORDER BY message.channel, message.lane LIMIT 1
    ) AS following
)
SELECT lane.channel, lane.lane FROM lane
WHERE NOT EXISTS (
    SELECT FROM campaign WHERE 'campaigns/' || campaign.id = lane.lane AND campaign.state <> ALL (:open)
) AND EXISTS (
    SELECT FROM message WHERE state = 'planned' AND message.channel = lane.channel
    AND message.lane = lane.lane AND message.due_time <= :now
)
""").bindparams(sa.bindparam("open", type_=_TEXTS), sa.bindparam("now", type_=sa.DateTime(timezone=True)))

_TAKE = (
    sa.text("""
WITH chosen AS MATERIALIZED (
    SELECT due.id FROM unnest(CAST(:channels AS text[]), CAST(:lanes AS text[]), CAST(:quotas AS integer[]))
        AS wanted (channel, lane, quota)
    CROSS JOIN LATERAL (
        SELECT message.id FROM message
        WHERE message.state = 'planned' AND message.channel = wanted.channel AND message.lane = wanted.lane
        AND message.due_time <= :now
        ORDER BY message.due_time, message.id LIMIT wanted.quota FOR UPDATE SKIP LOCKED
    ) AS due
)
UPDATE message SET state = 'claimed', sender_id = :sender FROM chosen WHERE message.id = chosen.id
RETURNING message.id, origin, entry_id, step, contact_id, channel, topic, template_id, coupon_pool_id, coupon_code,
    attempt_count, subject, content
""")
    .bindparams(
        sa.bindparam("now", type_=sa.DateTime(timezone=True)),
        sa.bindparam("sender", type_=pg.UUID(as_uuid=True)),
    )
    .columns(*_CLAIM)
)


def lanes(connection: Connection, now: datetime) -> list[tuple[str, str]]:
    """Return each (channel, lane) that has due messages and is not held back by its campaign's state."""
    return [tuple(row) for row in connection.execute(_LANES, {"open": list(OPEN_TO_SENDERS), "now": now})]


def take(
    connection: Connection, sender: UUID, wanted: Sequence[tuple[str, str, int]], now: datetime
) -> list[Claim]:
    """Claim due messages, at most so many of each (channel, lane), and return them."""
    if not wanted:
        return []
    rows = connection.execute(
        _TAKE,
        {
            "channels": [name for name, _, _ in wanted],
            "lanes": [lane for _, lane, _ in wanted],
            "quotas": [quota for _, _, quota in wanted],
            "sender": sender,
            "now": now,
        },
    )
    return [Claim(**row._mapping) for row in rows]


def hand_over(connection: Connection, sender: UUID, items: Sequence[HandOver]) -> set[UUID]:
    """Mark claimed messages as on the wire and return those that may go.

    Not among them is what is no longer this sender's, or whose campaign was paused or cancelled meanwhile.
    """
    item = (
        sa.func.unnest(
            sa.cast([each.claim.id for each in items], _UUIDS),
            sa.cast([each.subject for each in items], _TEXTS),
            sa.cast([each.recipient_hash for each in items], pg.ARRAY(sa.LargeBinary)),
            sa.cast([each.coupon_code for each in items], _TEXTS),
        )
        .table_valued("id", "subject", "recipient_hash", "coupon_code", name="item")
        .render_derived()
    )
    held = sa.exists().where(
        message.c.origin == sa.literal("campaigns/") + campaign.c.id,
        campaign.c.state.not_in(OPEN_TO_SENDERS),
    )
    statement = (
        sa.update(message)
        .where(message.c.id == item.c.id, message.c.state == CLAIMED, message.c.sender_id == sender, ~held)
        .values(
            state=SENDING,
            reason="",
            subject=item.c.subject,
            recipient_hash=item.c.recipient_hash,
            coupon_code=item.c.coupon_code,
            attempt_count=message.c.attempt_count + 1,
        )
        .returning(message.c.id)
    )
    return set(connection.scalars(statement))


def record(connection: Connection, sender: UUID, results: Sequence[Result]) -> set[UUID]:
    """Record what became of messages and return those that were still this sender's.

    One that was declared unknown meanwhile, because the sender seemed dead, is its own as well.
    """
    if not results:
        return set()
    item = (
        sa.func.unnest(
            sa.cast([each.claim.id for each in results], _UUIDS),
            sa.cast([each.state for each in results], _TEXTS),
            sa.cast([each.reason for each in results], _TEXTS),
            sa.cast([each.due_time for each in results], pg.ARRAY(sa.DateTime(timezone=True))),
            sa.cast([each.send_time for each in results], pg.ARRAY(sa.DateTime(timezone=True))),
            sa.cast([each.provider_id for each in results], _TEXTS),
            sa.cast([0 if each.tried else 1 for each in results], pg.ARRAY(sa.Integer)),
        )
        .table_valued("id", "state", "reason", "due_time", "send_time", "provider_id", "untried", name="item")
        .render_derived()
    )
    state = sa.cast(item.c.state, sa.Text)
    statement = (
        sa.update(message)
        .where(
            message.c.id == item.c.id,
            message.c.sender_id == sender,
            message.c.state.in_([CLAIMED, SENDING, UNKNOWN]),
        )
        .values(
            state=state,
            reason=item.c.reason,
            due_time=item.c.due_time,
            send_time=item.c.send_time,
            provider_id=item.c.provider_id,
            attempt_count=sa.case(
                (message.c.state == CLAIMED, message.c.attempt_count),
                else_=message.c.attempt_count - sa.cast(item.c.untried, sa.Integer),
            ),
            # Once final, nobody needs the text any more.
            content=sa.case((state.in_([PLANNED, UNKNOWN]), message.c.content), else_=sa.null()),
        )
        .returning(message.c.id)
    )
    return set(connection.scalars(statement))


def let_go(connection: Connection, sender: UUID, keys: Collection[UUID], reason: str | None = None) -> None:
    """Give claimed messages back: to be planned again, or cancelled with their campaign."""
    if not keys:
        return
    cancelled = sa.exists().where(
        message.c.origin == sa.literal("campaigns/") + campaign.c.id, campaign.c.state == CAMPAIGN_CANCELLED
    )
    values: dict[str, Any] = {"state": sa.case((cancelled, CANCELLED), else_=PLANNED)}
    if reason is not None:
        values["reason"] = reason
    connection.execute(
        sa.update(message)
        .where(
            message.c.id == sa.any_(sa.cast(list(keys), _UUIDS)),
            message.c.state == CLAIMED,
            message.c.sender_id == sender,
        )
        .values(values)
    )


def try_recover(connection: Connection, sender: UUID) -> tuple[int, int]:
    """Apply the rules of a crash to what a dead sender had in hand; returns how many are planned and unknown then.

    What was claimed had not left and is planned again. What was on the wire is unknown, unless its channel never
    delivers a message twice. Nothing happens while the sender lives, that is, holds its lock.
    """
    free = sa.select(sa.func.pg_try_advisory_xact_lock(lock_key(sender_lock(sender))))
    if not connection.execute(free).scalar_one():
        return 0, 0
    safe = sa.exists().where(channel.c.name == message.c.channel, channel.c.idempotent)
    mine = message.c.sender_id == sender
    again = sa.or_(message.c.state == CLAIMED, sa.and_(message.c.state == SENDING, safe))
    planned = connection.execute(sa.update(message).where(mine, again).values(state=PLANNED)).rowcount
    unknown = connection.execute(
        sa.update(message)
        .where(mine, message.c.state == SENDING)
        .values(state=UNKNOWN, reason="its sender ended while it was on the wire")
    ).rowcount
    return planned, unknown


def senders_with_messages(connection: Connection) -> list[UUID]:
    """Return the senders, dead or alive, that have messages in hand."""
    query = sa.select(message.c.sender_id).where(message.c.state.in_([CLAIMED, SENDING])).distinct()
    return [key for key in connection.scalars(query) if key is not None]


def sender_lock(sender: UUID) -> str:
    """Return the name of the lock that a sender holds while it lives."""
    return f"sender:{sender}"


def save_channels(connection: Connection, rows: Sequence[Mapping[str, Any]]) -> None:
    """Remember channels as they are now."""
    if not rows:
        return
    insert = pg.insert(channel).values(sorted(rows, key=lambda row: str(row["name"])))
    connection.execute(
        insert.on_conflict_do_update(
            index_elements=["name"],
            set_={name: insert.excluded[name] for name in ("address_kind", "idempotent", "when_gone")},
        )
    )


def explain_missing(
    connection: Connection, available: Collection[str], why: Mapping[str, str], limit: int = 5_000
) -> list[Claim]:
    """Write on due messages of channels that are not available why they wait.

    Messages of a channel that declared `fail` for this case fail; these are returned.
    """
    failed: list[Claim] = []
    for name, reason in why.items():
        if name in available:
            continue
        fails = connection.execute(
            sa.select(sa.true()).where(channel.c.name == name, channel.c.when_gone == "fail")
        ).scalar()
        chosen = (
            sa.select(message.c.id)
            .where(message.c.state == PLANNED, message.c.channel == name, message.c.reason != reason)
            .limit(limit)
            .with_for_update(skip_locked=True)
            .cte("chosen")
        )
        values: dict[str, Any] = {"reason": reason}
        if fails:
            values |= {"state": FAILED, "content": sa.null()}
        statement = sa.update(message).where(message.c.id == chosen.c.id).values(values).returning(*_CLAIM)
        rows = connection.execute(statement).all()
        if fails:
            failed += [Claim(**row._mapping) for row in rows]
    return failed


def planned_channels(connection: Connection) -> list[str]:
    """Return the channels that have planned messages."""
    rows = connection.execute(
        sa.text("""
WITH RECURSIVE step AS (
    (SELECT channel FROM message WHERE state = 'planned' ORDER BY channel LIMIT 1)
    UNION ALL
    SELECT following.channel FROM step CROSS JOIN LATERAL (
        SELECT message.channel FROM message WHERE state = 'planned' AND message.channel > step.channel
        ORDER BY message.channel LIMIT 1
    ) AS following
)
SELECT channel FROM step
""")
    )
    return [row.channel for row in rows]
