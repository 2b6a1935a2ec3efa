"""Queries on the ledger as callers and planners use it; `claims` holds those of the senders."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy import Connection
from sqlalchemy.dialects import postgresql as pg

from services.campaign.domain.ledger import (
    CANCELLED,
    PLANNED,
    REQUESTS,
    SENT,
    SUPPRESSED,
    Counts,
    Message,
    NewMessage,
)
from services.campaign.models import message
from services.kit import arrays

NOTICE = "campaign_planned"
"""What senders listen for."""

TEMPORARY_FAILURE = "TEMPORARY_FAILURE"
"""Why a message waits that a server refused in words of its own."""

_MESSAGE = [message.c[name] for name in Message.__dataclass_fields__]
_UUIDS = pg.ARRAY(pg.UUID(as_uuid=True))


def plan_campaign(
    connection: Connection,
    model: NewMessage,
    ids: Sequence[UUID],
    contacts: Sequence[UUID],
    now: Any,
    due_times: Sequence[Any] | None = None,
) -> int:
    """Plan a message like the model for each contact; those who have one already keep it. Returns how many are new.

    due_times: when each is to leave; None: at once.
    """
    own = {"id": arrays.uuids(ids), "contact_id": arrays.uuids(contacts)}
    if due_times is not None:
        own["due_time"] = arrays.times(due_times)
    item = sa.func.unnest(*own.values()).table_valued(*own, name="item").render_derived()
    common = {
        name: sa.literal(value, message.c[name].type)
        for name, value in _common(model, now).items()
        if name not in own
    }
    rows = sa.select(*(item.c[name] for name in own), *common.values())
    statement = pg.insert(message).from_select([*own, *common], rows).on_conflict_do_nothing()
    # The driver tells no count for an INSERT.
    made = statement.returning(sa.literal(1)).cte("made")
    return int(connection.execute(sa.select(sa.func.count()).select_from(made)).scalar_one())


def plan(connection: Connection, messages: Sequence[NewMessage], now: Any) -> list[UUID]:
    """Plan messages and wake the senders; those planned before stay as they are. Returns the ids of the new ones."""
    if not messages:
        return []
    rows = [
        {
            **_common(item, now),
            "id": item.id,
            "contact_id": item.contact_id,
            "content": None if item.content is None else dict(item.content),
            "content_hash": item.content_hash,
            "subject": item.subject,
        }
        for item in messages
    ]
    statement = pg.insert(message).values(rows).on_conflict_do_nothing().returning(message.c.id)
    made = list(connection.scalars(statement))
    notify(connection)
    return made


def plan_steps(connection: Connection, messages: Sequence[NewMessage], now: Any) -> None:
    """Plan the messages of journeys' steps and wake the senders; those planned before stay as they are.

    As plan(), for thousands at once: the statement is the same whatever their number.
    """
    if not messages:
        return
    own = {
        "id": arrays.uuids(item.id for item in messages),
        "contact_id": arrays.uuids(item.contact_id for item in messages),
        "entry_id": arrays.uuids(item.entry_id for item in messages),
        "step": arrays.integers(item.step for item in messages),
        "content": arrays.objects(item.content for item in messages),
        **{
            name: arrays.texts(getattr(item, name) for item in messages)
            for name in ("origin", "lane", "channel", "topic", "template_id", "coupon_pool_id", "subject")
        },
    }
    item = sa.func.unnest(*own.values()).table_valued(*own, name="item").render_derived()
    constants = {
        name: sa.literal(value, message.c[name].type)
        for name, value in _common(messages[0], now).items()
        if name not in own
    }
    rows = sa.select(*(item.c[name] for name in own), *constants.values())
    statement = pg.insert(message).from_select([*own, *constants], rows)
    connection.execute(statement.on_conflict_do_nothing())
    notify(connection)


def notify(connection: Connection) -> None:
    """Wake the senders when this transaction commits."""
    connection.execute(sa.select(sa.func.pg_notify(NOTICE, "")))


def _common(item: NewMessage, now: Any) -> dict[str, Any]:
    return {
        "origin": item.origin,
        "lane": item.lane,
        "entry_id": item.entry_id,
        "step": item.step,
        "channel": item.channel,
        "topic": item.topic,
        "template_id": item.template_id,
        "coupon_pool_id": item.coupon_pool_id,
        "state": PLANNED,
        "reason": "",
        "attempt_count": 0,
        "due_time": now,
        "create_time": now,
        "coupon_code": "",
        "subject": "",
        "provider_id": "",
    }


def get(connection: Connection, key: UUID, *, lock: bool = False) -> Message | None:
    """Return a message, or None; lock: until the transaction ends."""
    query = sa.select(*_MESSAGE).where(message.c.id == key)
    row = connection.execute(query.with_for_update() if lock else query).one_or_none()
    return None if row is None else Message(**row._mapping)


def find_request(connection: Connection, origin: str) -> tuple[Message, bytes] | None:
    """Return the message of a request and the hash of what was asked for, or None."""
    query = sa.select(*_MESSAGE, message.c.content_hash).where(
        message.c.origin == origin, message.c.content_hash.is_not(None)
    )
    row = connection.execute(query).one_or_none()
    if row is None:
        return None
    values = dict(row._mapping)
    digest = bytes(values.pop("content_hash"))
    return Message(**values), digest


def page(
    connection: Connection,
    *,
    contact_id: UUID | None,
    origin: str,
    state: str,
    before: UUID | None,
    count: int,
    channel: str = "",
    planned_before: Any = None,
) -> list[Message]:
    """Return the next messages, newest first (ids rise with time); empty conditions let all pass."""
    query = sa.select(*_MESSAGE).order_by(message.c.id.desc()).limit(count)
    if contact_id is not None:
        query = query.where(message.c.contact_id == contact_id)
    if origin:
        query = query.where(of_origin(origin))
    if state:
        query = query.where(message.c.state == state)
    if channel:
        query = query.where(message.c.channel == channel)
    if planned_before is not None:
        query = query.where(message.c.create_time < planned_before)
    if before is not None:
        query = query.where(message.c.id < before)
    return [Message(**row._mapping) for row in connection.execute(query)]


def of_origin(origin: str) -> sa.ColumnElement[bool]:
    """Return the condition for messages of a campaign, a journey or a request, or of all requests (REQUESTS)."""
    if origin != REQUESTS:
        return message.c.origin == origin
    # As a range, which an index knows.
    return sa.and_(message.c.origin > f"{REQUESTS}/", message.c.origin < f"{REQUESTS}0")


def counts(connection: Connection, origins: Collection[str]) -> dict[str, Counts]:
    """Return the counts of several origins, in two grouped queries."""
    found = {origin: Counts() for origin in origins}
    wanted = message.c.origin == sa.any_(sa.cast(list(origins), pg.ARRAY(sa.Text)))
    for origin, state, number in connection.execute(
        sa.select(message.c.origin, message.c.state, sa.func.count())
        .where(wanted)
        .group_by(message.c.origin, message.c.state)
    ):
        found[origin].by_state[state] = number
    # What follows a colon is the detail of a reason.
    reason = sa.func.split_part(message.c.reason, ":", 1)
    for origin, text, number in connection.execute(
        sa.select(message.c.origin, reason, sa.func.count())
        .where(wanted, message.c.state == SUPPRESSED)
        .group_by(message.c.origin, reason)
    ):
        found[origin].by_reason[text] = number
    waiting = sa.case((reason.regexp_match("^[A-Z_]+$"), reason), else_=TEMPORARY_FAILURE)
    for origin, text, number in connection.execute(
        sa.select(message.c.origin, waiting, sa.func.count())
        .where(wanted, message.c.state == PLANNED, message.c.reason != "")
        .group_by(message.c.origin, waiting)
    ):
        found[origin].waiting_by_reason[text] = number
    same = (
        sa.select(message.c.origin, (sa.func.count() - 1).label("more"))
        .where(wanted, message.c.state == SENT, message.c.recipient_hash.is_not(None))
        .group_by(message.c.origin, message.c.entry_id, message.c.step, message.c.recipient_hash)
        .having(sa.func.count() > 1)
        .subquery()
    )
    for origin, more in connection.execute(
        sa.select(same.c.origin, sa.func.sum(same.c.more)).group_by(same.c.origin)
    ):
        found[origin].duplicates = int(more)
    return found


def states(connection: Connection, origin: str) -> Counts:
    """Return how many messages of an origin are in which state, and nothing else."""
    query = (
        sa.select(message.c.state, sa.func.count())
        .where(message.c.origin == origin)
        .group_by(message.c.state)
    )
    return Counts({row[0]: row[1] for row in connection.execute(query)})


def cancel_planned(connection: Connection, origin: str, limit: int) -> int:
    """Cancel planned messages of an origin, at most `limit`, and return how many."""
    chosen = (
        sa.select(message.c.id)
        .where(message.c.origin == origin, message.c.state == PLANNED)
        .limit(limit)
        .with_for_update(skip_locked=True)
        .cte("chosen")
    )
    statement = (
        sa.update(message)
        .where(message.c.id == chosen.c.id)
        .values(state=CANCELLED, reason="", content=sa.null())
    )
    return connection.execute(statement).rowcount
