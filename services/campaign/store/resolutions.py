"""Queries on messages whose state is unknown, and on what was decided on them."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy import Connection
from sqlalchemy.dialects import postgresql as pg

from services.campaign.domain.deaths import ALONE
from services.campaign.domain.ledger import UNKNOWN, Message
from services.campaign.domain.resolutions import (
    AS_FAILED,
    AS_RETRY,
    AS_SENT,
    RESOLVED,
    STATE_AFTER,
    Doubted,
    Resolution,
)
from services.campaign.models import message, message_resolution
from services.campaign.store.ledger import of_origin

_MESSAGE = [message.c[name] for name in Message.__dataclass_fields__]
_UUIDS = pg.ARRAY(pg.UUID(as_uuid=True))


def take(connection: Connection, doubted: Doubted, limit: int) -> list[UUID]:
    """Return the oldest of the messages in doubt, locked until the transaction ends; others' are passed over."""
    query = sa.select(message.c.id).where(*_in_doubt(doubted)).order_by(message.c.id).limit(limit)
    return list(connection.scalars(query.with_for_update(skip_locked=True)))


def count(connection: Connection, doubted: Doubted) -> int:
    """Return how many messages are in doubt."""
    query = sa.select(sa.func.count()).select_from(message).where(*_in_doubt(doubted))
    return int(connection.execute(query).scalar_one())


def settle(connection: Connection, keys: Sequence[UUID], resolution: str, now: datetime) -> list[Message]:
    """Write down what became of locked messages, and return them."""
    values: dict[str, dict[str, Any]] = {
        # When it was handed over, not when somebody said so. One of which a backup knows no more was due then.
        AS_SENT: {
            "reason": "",
            "send_time": sa.func.coalesce(message.c.send_time, message.c.due_time),
            "content": None,
        },
        AS_FAILED: {"reason": RESOLVED, "send_time": None, "content": None},
        AS_RETRY: {
            "reason": "",
            "send_time": None,
            "sender_id": None,
            "due_time": now,
            # Whoever says so knows more than the count does, which would let it fail at the next death.
            "death_count": sa.func.least(message.c.death_count, ALONE),
        },
    }
    statement = (
        sa.update(message)
        .where(message.c.id == sa.any_(sa.cast(list(keys), _UUIDS)))
        .values(state=STATE_AFTER[resolution], **values[resolution])
        .returning(*_MESSAGE)
    )
    return [Message(**row._mapping) for row in connection.execute(statement)]


def insert(connection: Connection, item: Resolution) -> None:
    """Write down a decision."""
    values = {name: getattr(item, name) for name in Resolution.__dataclass_fields__}
    connection.execute(sa.insert(message_resolution).values(values))


def page(connection: Connection, *, origin: str, before: UUID | None, count: int) -> list[Resolution]:
    """Return the next decisions, newest first (ids rise with time); an empty origin lets all pass."""
    query = sa.select(message_resolution).order_by(message_resolution.c.id.desc()).limit(count)
    if origin:
        query = query.where(message_resolution.c.origin == origin)
    if before is not None:
        query = query.where(message_resolution.c.id < before)
    return [Resolution(**row._mapping) for row in connection.execute(query)]


def _in_doubt(doubted: Doubted) -> list[sa.ColumnElement[bool]]:
    found = [of_origin(doubted.origin), message.c.state == UNKNOWN]
    if doubted.channel:
        found.append(message.c.channel == doubted.channel)
    if doubted.before is not None:
        found.append(message.c.create_time < doubted.before)
    return found
