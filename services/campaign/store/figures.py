"""Queries for figures of the ledger that Prometheus asks for; cheap however many messages there are."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

import sqlalchemy as sa
from sqlalchemy import Connection
from sqlalchemy.dialects import postgresql as pg

from services.campaign.domain.ledger import CLAIMED, SENDING
from services.campaign.models import message
from services.campaign.store import claims

MOST = 10_000
"""Messages of a lane that are counted one by one at the most."""

_TEXTS = pg.ARRAY(sa.Text)
_DUE = sa.text("""
SELECT wanted.channel, sum(due.number)::bigint AS number, min(due.oldest) AS oldest
FROM unnest(:channels, :lanes) AS wanted (channel, lane) CROSS JOIN LATERAL (
    SELECT count(*) AS number, min(first.due_time) AS oldest FROM (
        SELECT message.due_time FROM message
        WHERE message.state = 'planned' AND message.channel = wanted.channel AND message.lane = wanted.lane
        AND message.due_time <= :now
        ORDER BY message.due_time LIMIT :most
    ) AS first
) AS due
GROUP BY wanted.channel HAVING sum(due.number) > 0 ORDER BY wanted.channel
""").bindparams(
    sa.bindparam("channels", type_=_TEXTS),
    sa.bindparam("lanes", type_=_TEXTS),
    sa.bindparam("now", type_=sa.DateTime(timezone=True)),
    sa.bindparam("most", MOST),
)


@dataclass(frozen=True, slots=True)
class Due:
    """Count the messages of a channel that could leave now, and say since when the oldest could."""

    channel: str
    count: int
    since: datetime


def due(connection: Connection, now: datetime) -> list[Due]:
    """Return what is due by channel; what a paused campaign holds back is not."""
    lanes = claims.lanes(connection, now)
    if not lanes:
        return []
    given = {"channels": [name for name, _ in lanes], "lanes": [lane for _, lane in lanes], "now": now}
    return [Due(*row) for row in connection.execute(_DUE, given)]


def in_hand(connection: Connection) -> dict[str, int]:
    """Return how many messages senders have claimed, and have on the wire."""
    query = (
        sa.select(message.c.state, sa.func.count())
        .where(message.c.state.in_([CLAIMED, SENDING]))
        .group_by(message.c.state)
    )
    found: dict[str, int] = {row[0]: row[1] for row in connection.execute(query)}
    return {state: found.get(state, 0) for state in (CLAIMED, SENDING)}
