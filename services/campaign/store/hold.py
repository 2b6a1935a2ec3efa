"""Queries on the hold of all sending, and on the messages that waited under it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

import sqlalchemy as sa
from sqlalchemy import Connection
from sqlalchemy.dialects import postgresql as pg

from services.campaign.domain.campaigns import PLANNING
from services.campaign.domain.journey_states import RUNNING
from services.campaign.domain.ledger import CLAIMED, PLANNED, SENDING, UNKNOWN
from services.campaign.models import (
    campaign,
    campaign_schedule,
    journey,
    journey_entry,
    message,
    sending_hold,
)


@dataclass(frozen=True, slots=True)
class Hold:
    """Say why nothing is sent, and since when."""

    reason: str
    create_time: datetime


def place(connection: Connection, reason: str, now: datetime) -> None:
    """Hold all sending; a hold that is there stays as it is."""
    row = {"id": 1, "reason": reason, "create_time": now}
    connection.execute(pg.insert(sending_hold).values(row).on_conflict_do_nothing())


def get(connection: Connection) -> Hold | None:
    """Return the hold, or None when there is none."""
    query = sa.select(sending_hold.c.reason, sending_hold.c.create_time)
    row = connection.execute(query).one_or_none()
    return None if row is None else Hold(row.reason, row.create_time)


def lift(connection: Connection) -> bool:
    """Let senders go on, and return whether there was a hold."""
    return bool(connection.execute(sa.delete(sending_hold)).rowcount)


def doubt(connection: Connection, now: datetime, reason: str, limit: int) -> int:
    """Make messages that should have been sent by now unknown, at most so many, and return how many."""
    chosen = (
        sa.select(message.c.id)
        .where(message.c.state.in_([PLANNED, CLAIMED, SENDING]), message.c.due_time <= now)
        .limit(limit)
        .with_for_update()
        .cte("chosen")
    )
    statement = sa.update(message).where(message.c.id == chosen.c.id)
    return connection.execute(statement.values(state=UNKNOWN, reason=reason)).rowcount


def count_due(connection: Connection, now: datetime) -> int:
    """Return how many messages wait that should have been sent by now."""
    due = message.c.state.in_([PLANNED, CLAIMED, SENDING]), message.c.due_time <= now
    return connection.execute(sa.select(sa.func.count()).where(*due)).scalar_one()


def unplanned(connection: Connection, now: datetime) -> list[str]:
    """Return, in words, what is yet to plan messages that were due by now; empty when all of it has been done."""
    waiting = {
        "audiences to be fixed": sa.select(sa.func.count()).where(
            campaign.c.state == PLANNING, campaign.c.planned.is_(False)
        ),
        "scheduled launches": sa.select(sa.func.count()).where(campaign_schedule.c.next_time <= now),
        "entries of journeys to be moved": sa.select(sa.func.count()).where(
            journey_entry.c.finish_time.is_(None),
            journey_entry.c.due_time <= now,
            journey_entry.c.problem == "",
            # On a paused one nobody moves before somebody resumes it.
            journey_entry.c.journey_id.in_(sa.select(journey.c.id).where(journey.c.state == RUNNING)),
        ),
    }
    counts = {what: connection.execute(query).scalar_one() for what, query in waiting.items()}
    return [f"{count} {what}" for what, count in counts.items() if count]
