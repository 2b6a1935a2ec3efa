"""Queries of the senders: who takes which message, hands it over, and says what became of it."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, NamedTuple
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy import Connection
from sqlalchemy.dialects import postgresql as pg

from services.campaign.domain.campaigns import CANCELLED as CAMPAIGN_CANCELLED
from services.campaign.domain.campaigns import OPEN_TO_SENDERS
from services.campaign.models import message
from services.campaign.store import opt_outs

_UUIDS = pg.ARRAY(pg.UUID(as_uuid=True))
_TEXTS = pg.ARRAY(sa.Text)
# One encoder for all: json.dumps with options builds a new one at each call.
_to_json = json.JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode


class Claim(NamedTuple):
    """Hold a message in this sender's hand; the fields are columns, in the order of `_TAKE`."""

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
    death_count: int
    subject: str
    content: Mapping[str, Any] | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """Say what became of a message that was in hand.

    tried: whether it counts as an attempt that was handed over. due_time: for `planned`, when it is tried again.
    bad_address: kind and address, as the suppression list has it, when it is the address that does not work.
    """

    claim: Claim
    state: str
    reason: str = ""
    due_time: datetime
    send_time: datetime | None = None
    provider_id: str = ""
    tried: bool = True
    bad_address: tuple[str, str] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class HandOver:
    """Hold what is recorded of a message before it leaves; address: as the suppression list has it."""

    claim: Claim
    subject: str
    recipient_hash: bytes
    coupon_code: str
    address: str = ""


COLUMNS = [message.c[name] for name in Claim._fields]

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
WHERE NOT EXISTS (SELECT FROM sending_hold) AND NOT EXISTS (
    SELECT FROM campaign WHERE 'campaigns/' || campaign.id = lane.lane AND campaign.state <> ALL (:open)
) AND NOT EXISTS (
    SELECT FROM journey WHERE 'journeys/' || journey.id = lane.lane AND journey.state <> 'running'
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
    attempt_count, death_count, subject, content
""")
    .bindparams(
        sa.bindparam("now", type_=sa.DateTime(timezone=True)),
        sa.bindparam("sender", type_=pg.UUID(as_uuid=True)),
    )
    .columns(*COLUMNS)
)


def lanes(connection: Connection, now: datetime) -> list[tuple[str, str]]:
    """Return each (channel, lane) that has due messages and whose campaign or journey does not hold it back.

    None while all sending is held.
    """
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
    return list(map(Claim._make, rows))


# Rows go as one text of JSON: the driver needs a tenth of the time that arrays of as many columns take.
# What speaks against a message is asked in the statement that lets it go, so nothing comes in between.
# IS NOT DISTINCT FROM keeps the planner from the index of what is in hand: it takes that for empty, which it is when
# statistics are made, and would look through all items for each message there, where each has an id to be found by.
_HAND_OVER = sa.text("""
WITH item AS MATERIALIZED (
    SELECT given.*, CASE
        WHEN EXISTS (
            SELECT FROM suppression WHERE suppression.kind = :kind AND suppression.address = given.address
        ) THEN 'SUPPRESSED'
        WHEN EXISTS (
            SELECT FROM opt_out WHERE opt_out.contact_id = given.contact_id AND opt_out.kind = :kind
            AND opt_out.topic = :topic AND opt_out.time > :since
        ) THEN 'CONSENT_DENIED' ELSE '' END AS refusal
    FROM json_to_recordset(CAST(:items AS json)) AS given (id uuid, contact_id uuid, address text, subject text,
        recipient_hash text, coupon_code text)
), leaving AS (
    UPDATE message SET state = 'sending', reason = '', send_time = :now, subject = item.subject,
        coupon_code = item.coupon_code, recipient_hash = decode(item.recipient_hash, 'hex'),
        attempt_count = attempt_count + 1
    FROM item
    WHERE message.id = item.id AND item.refusal = ''
    AND message.state IS NOT DISTINCT FROM 'claimed' AND message.sender_id IS NOT DISTINCT FROM :sender
    AND NOT EXISTS (
        SELECT FROM campaign WHERE message.origin = 'campaigns/' || campaign.id AND campaign.state <> ALL (:open)
    ) AND NOT EXISTS (
        SELECT FROM journey WHERE message.origin = 'journeys/' || journey.id AND journey.state <> 'running'
    )
    RETURNING message.id
)
SELECT id, '' FROM leaving UNION ALL SELECT id, refusal FROM item WHERE refusal <> ''
""").bindparams(
    sa.bindparam("kind", type_=sa.Text),
    sa.bindparam("topic", type_=sa.Text),
    sa.bindparam("since", type_=sa.DateTime(timezone=True)),
    sa.bindparam("now", type_=sa.DateTime(timezone=True)),
    sa.bindparam("items", type_=sa.Text),
    sa.bindparam("sender", type_=pg.UUID(as_uuid=True)),
    sa.bindparam("open", type_=_TEXTS),
)

# The content of a message that is final is needed by nobody any more.
_RECORD = sa.text("""
UPDATE message SET state = item.state, reason = item.reason, due_time = item.due_time, send_time = item.send_time,
    provider_id = item.provider_id,
    attempt_count = attempt_count - CASE WHEN message.state = 'claimed' THEN 0 ELSE item.untried END,
    content = CASE WHEN item.state IN ('planned', 'unknown') THEN content END
FROM json_to_recordset(CAST(:items AS json)) AS item (id uuid, state text, reason text, due_time timestamptz,
    send_time timestamptz, provider_id text, untried integer)
WHERE message.id = item.id AND message.sender_id = :sender AND message.state IN ('claimed', 'sending', 'unknown')
RETURNING message.id
""").bindparams(sa.bindparam("items", type_=sa.Text), sa.bindparam("sender", type_=pg.UUID(as_uuid=True)))

_LET_GO = sa.text("""
UPDATE message SET reason = coalesce(:reason, reason), state = CASE WHEN EXISTS (
    SELECT FROM campaign WHERE message.origin = 'campaigns/' || campaign.id AND campaign.state = :cancelled
) OR EXISTS (
    SELECT FROM journey WHERE message.origin = 'journeys/' || journey.id AND journey.state = :cancelled
) THEN 'cancelled' ELSE 'planned' END
WHERE id = ANY (CAST(:keys AS uuid[])) AND state = 'claimed' AND sender_id = :sender
""").bindparams(
    sa.bindparam("reason", type_=sa.Text),
    sa.bindparam("cancelled", type_=sa.Text),
    sa.bindparam("keys", type_=sa.Text),
    sa.bindparam("sender", type_=pg.UUID(as_uuid=True)),
)


def do_not_wait_for_disk(connection: Connection) -> None:
    """Let the commit of this transaction return before it is on disk.

    For what a crash of the database server may undo without harm; the next commit that waits brings it to disk too.
    """
    connection.exec_driver_sql("SET LOCAL synchronous_commit = off")


def hand_over(
    connection: Connection,
    sender: UUID,
    items: Sequence[HandOver],
    kind: str,
    topic: str,
    asked: datetime,
    now: datetime,
) -> tuple[set[UUID], dict[UUID, str]]:
    """Mark claimed messages of a topic as on the wire; return those that may go, and why others must not any more.

    kind: of their addresses. asked: since when consents may have changed. In neither is what is no longer this
    sender's, or whose campaign or journey was paused or cancelled meanwhile. Those that go are noted as sent now, which
    holds for those of which nobody will know more.
    """
    rows = [
        {
            "id": str(each.claim.id),
            "contact_id": each.claim.contact_id and str(each.claim.contact_id),
            "address": each.address,
            "subject": each.subject,
            "recipient_hash": each.recipient_hash.hex(),
            "coupon_code": each.coupon_code,
        }
        for each in items
    ]
    given = {
        "items": _to_json(rows),
        "sender": sender,
        "open": list(OPEN_TO_SENDERS),
        "kind": kind,
        "topic": topic,
        "since": asked - opt_outs.UNTOLD,
        "now": now,
    }
    free: set[UUID] = set()
    refused: dict[UUID, str] = {}
    for key, refusal in connection.execute(_HAND_OVER, given):
        if refusal:
            refused[key] = refusal
        else:
            free.add(key)
    return free, refused


def record(connection: Connection, sender: UUID, results: Sequence[Result]) -> set[UUID]:
    """Record what became of messages and return those that were still this sender's.

    One that was declared unknown meanwhile, because the sender seemed dead, is its own as well. Again is harmless.
    """
    if not results:
        return set()
    rows = [
        {
            "id": str(each.claim.id),
            "state": each.state,
            "reason": each.reason,
            "due_time": each.due_time.isoformat(),
            "send_time": each.send_time and each.send_time.isoformat(),
            "provider_id": each.provider_id,
            "untried": 0 if each.tried else 1,
        }
        for each in results
    ]
    return {row[0] for row in connection.execute(_RECORD, {"items": _to_json(rows), "sender": sender})}


def let_go(connection: Connection, sender: UUID, keys: Collection[UUID], reason: str | None = None) -> None:
    """Give claimed messages back: to be planned again, or cancelled with their campaign or journey."""
    if not keys:
        return
    given = {
        "keys": "{" + ",".join(map(str, keys)) + "}",
        "reason": reason,
        "cancelled": CAMPAIGN_CANCELLED,
        "sender": sender,
    }
    connection.execute(_LET_GO, given)


def sender_lock(sender: UUID) -> str:
    """Return the name of the lock that a sender holds while it lives."""
    return f"sender:{sender}"
