"""What senders had in hand that died, or that failed with it."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy import Connection
from sqlalchemy.dialects import postgresql as pg

from services.campaign.domain.campaigns import RETRY
from services.campaign.domain.deaths import ALONE, ENDED, FIRST_DELAY, GIVEN_UP, MOST_DEATHS, MOST_DOUBLINGS
from services.campaign.domain.ledger import (
    CAMPAIGNS,
    CLAIMED,
    FAILED,
    MAX_ATTEMPTS,
    PLANNED,
    SENDING,
    UNKNOWN,
)
from services.campaign.models import campaign, channel, message
from services.campaign.store.claims import COLUMNS, Claim, sender_lock
from services.kit.locks import lock_key

_DEATHS = message.c.death_count + 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Recovered:
    """Say what became of what a dead sender had in hand: how many are planned and unknown now, and which failed."""

    planned: int = 0
    unknown: int = 0
    failed: tuple[Claim, ...] = ()


def try_recover(connection: Connection, sender: UUID, now: datetime) -> Recovered:
    """Apply the rules of a crash to what a dead sender had in hand.

    What was claimed had not left and is planned again, but for what ended its senders too often, which fails. What was
    on the wire is unknown, unless its channel never delivers a message twice, its campaign, if it is of one, wants it
    sent again, and an attempt is left: the message may be what ends its senders. The death is counted on all of it.
    Nothing happens while the sender lives, that is, holds its lock.
    """
    free = sa.select(sa.func.pg_try_advisory_xact_lock(lock_key(sender_lock(sender))))
    if not connection.execute(free).scalar_one():
        return Recovered()
    safe = sa.and_(
        message.c.attempt_count < MAX_ATTEMPTS,
        sa.exists().where(channel.c.name == message.c.channel, channel.c.idempotent),
        sa.or_(
            message.c.origin.not_like(f"{CAMPAIGNS}/%"),
            sa.exists().where(
                message.c.origin == sa.literal(f"{CAMPAIGNS}/") + campaign.c.id,
                campaign.c.unknown_policy == RETRY,
            ),
        ),
    )
    mine = message.c.sender_id == sender
    claimed = sa.and_(mine, message.c.state == CLAIMED)
    failed = _give_up(connection, claimed, GIVEN_UP)
    again = sa.or_(claimed, sa.and_(mine, message.c.state == SENDING, safe))
    why = (
        sa.literal(f"{ENDED}: its sender ended ") + sa.cast(_DEATHS, sa.Text) + " times while it was in hand"
    )
    planned = _plan_again(connection, again, why, now)
    unknown = connection.execute(
        sa.update(message)
        .where(mine, message.c.state == SENDING)
        .values(state=UNKNOWN, reason="its sender ended while it was on the wire", death_count=_DEATHS)
    ).rowcount
    return Recovered(planned=planned, unknown=unknown, failed=failed)


def put_aside(
    connection: Connection, sender: UUID, keys: Collection[UUID], fault: str, now: datetime
) -> Recovered:
    """Count an error, which one of the claimed messages may have caused, as a death of their sender.

    They are planned again, to be made ready in smaller company; what was there too often fails. fault: what is recorded
    as the reason of what waits alone, or failed.
    """
    mine = sa.and_(
        message.c.id == sa.any_(sa.bindparam("keys", list(keys), type_=pg.ARRAY(pg.UUID(as_uuid=True)))),
        message.c.state == CLAIMED,
        message.c.sender_id == sender,
    )
    failed = _give_up(connection, mine, fault)
    return Recovered(planned=_plan_again(connection, mine, sa.literal(fault), now), failed=failed)


def _give_up(connection: Connection, which: sa.ColumnElement[bool], reason: str) -> tuple[Claim, ...]:
    rows = connection.execute(
        sa.update(message)
        .where(which, _DEATHS >= MOST_DEATHS)
        .values(state=FAILED, reason=reason, death_count=_DEATHS, content=sa.null())
        .returning(*COLUMNS)
    )
    return tuple(map(Claim._make, rows.all()))


def _plan_again(
    connection: Connection, which: sa.ColumnElement[bool], why: sa.ColumnElement[str], now: datetime
) -> int:
    # At times that chance spreads: messages of one process, in whose channels one of them ends it, part again.
    seconds = FIRST_DELAY.total_seconds() * sa.func.power(2, sa.func.least(_DEATHS - ALONE, MOST_DOUBLINGS))
    later = sa.literal(now, sa.DateTime(timezone=True)) + sa.func.make_interval(
        0, 0, 0, 0, 0, 0, seconds * (0.75 + 0.5 * sa.func.random(type_=sa.Float)), type_=sa.Interval
    )
    alone = _DEATHS >= ALONE
    return connection.execute(
        sa.update(message)
        .where(which)
        .values(
            state=PLANNED,
            send_time=sa.null(),
            death_count=_DEATHS,
            due_time=sa.case((alone, later), else_=message.c.due_time),
            reason=sa.case((alone, why), else_=message.c.reason),
        )
    ).rowcount


def senders_with_messages(connection: Connection) -> list[UUID]:
    """Return the senders, dead or alive, that have messages in hand."""
    query = sa.select(message.c.sender_id).where(message.c.state.in_([CLAIMED, SENDING])).distinct()
    return [key for key in connection.scalars(query) if key is not None]
