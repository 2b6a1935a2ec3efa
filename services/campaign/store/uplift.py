"""Queries on what hold-outs and splits bring about: who counts in which group, and what they bought."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy import Connection
from sqlalchemy.dialects import postgresql as pg

from services.campaign.domain.ids import TRANSACTIONAL
from services.campaign.domain.ledger import SENT
from services.campaign.domain.verdicts import ALL, Arm
from services.campaign.models import journey_version
from services.campaign.store import purchases
from services.campaign.store.purchases import Bought

_AT_ONCE = 10_000
_UUIDS = pg.ARRAY(pg.UUID(as_uuid=True))
_TIME = sa.DateTime(timezone=True)

_REACHED = """
    SELECT contact_id, min(create_time) AS start, count(*) FILTER (WHERE state = :sent) AS sent
    FROM message WHERE topic <> :transactional AND contact_id IS NOT NULL
    AND create_time >= :since AND create_time < :until GROUP BY contact_id
"""
_REACHED_GROUPS = f"""
    SELECT CASE WHEN held.contact_id IS NULL THEN '{ALL}' ELSE '' END AS variant, reached.contact_id, reached.start,
        CAST(:until AS timestamptz) AS stop
    FROM ({_REACHED}) AS reached
    LEFT JOIN unnest(CAST(:held AS uuid[])) AS held (contact_id) ON held.contact_id = reached.contact_id
"""


def _typed(query: sa.TextClause, *names: str) -> sa.TextClause:
    return query.bindparams(*(sa.bindparam(name, type_=_TIME) for name in names))


_WHO = _typed(sa.text(_REACHED), "since", "until")
_WHAT = _typed(purchases.statement(_REACHED_GROUPS), "since", "until").bindparams(
    sa.bindparam("held", type_=_UUIDS)
)


def reached(connection: Connection, since: datetime, until: datetime) -> Iterator[tuple[UUID, datetime, int]]:
    """Yield the contacts for whom messages were planned in a period, when the first one was, and how many were sent."""
    rows = connection.execution_options(yield_per=_AT_ONCE).execute(_WHO, _period(since, until))
    yield from (tuple(row) for row in rows)


def bought_by_reached(
    connection: Connection, since: datetime, until: datetime, held: Sequence[UUID]
) -> dict[str, Bought]:
    """Return what those held out, "", and all others bought from their first message in a period until its end."""
    return purchases.bought(connection, _WHAT, _period(since, until) | {"held": list(held)})


def _period(since: datetime, until: datetime) -> dict[str, Any]:
    return {"since": since, "until": until, "transactional": TRANSACTIONAL, "sent": SENT}


# Whoever started while the shares were others is in a group for other reasons than chance alone.
_STARTED = f"""
    SELECT DISTINCT ON (entry.contact_id) CASE entry.outcome WHEN 'held_out' THEN '' ELSE '{ALL}' END AS variant,
        entry.contact_id, entry.start_time AS start, false AS goal
    FROM journey_entry AS entry
    WHERE entry.journey_id = :key AND entry.start_time >= :since AND entry.contact_id <> :nobody AND NOT EXISTS (
        SELECT FROM journey_entry AS former WHERE former.contact_id = entry.contact_id
        AND former.journey_id = entry.journey_id AND former.start_time < :since
    )
    ORDER BY entry.contact_id, entry.start_time, entry.id
"""
_DIVIDED = """
    SELECT DISTINCT ON (entry.contact_id) move.edge AS variant, entry.contact_id, move.leave_time AS start,
        entry.outcome = 'goal' AS goal
    FROM journey_move AS move JOIN journey_entry AS entry ON entry.id = move.entry_id
    WHERE move.journey_id = :key AND move.step_id = :step AND move.leave_time >= :since
    AND entry.contact_id <> :nobody
    ORDER BY entry.contact_id, move.leave_time, move.entry_id, move.step
"""
_COUNTED = """
    SELECT variant, contact_id, start, start + CAST(:window AS interval) AS stop, goal, over FROM (
        SELECT *, start + CAST(:window AS interval) <= :now AS over,
            row_number() OVER (PARTITION BY variant ORDER BY start, contact_id) AS place
        FROM ({groups}) AS everybody
    ) AS placed WHERE NOT over OR place <= :most
"""
_SIZES = """
SELECT variant, count(*) FILTER (WHERE over) AS assigned, count(*) FILTER (WHERE NOT over) AS pending,
    count(*) FILTER (WHERE over AND goal) AS goals
FROM ({counted}) AS counted GROUP BY variant
"""
_OVER = "SELECT variant, contact_id, start, stop FROM ({counted}) AS counted WHERE over"


def _two(groups: str) -> tuple[sa.TextClause, sa.TextClause]:
    counted = _COUNTED.format(groups=groups)
    sizes = _typed(sa.text(_SIZES.format(counted=counted)), "since", "now")
    return sizes, _typed(purchases.statement(_OVER.format(counted=counted)), "since", "now")


_OF_HOLD_OUT, _OF_SPLIT = _two(_STARTED), _two(_DIVIDED)
_NOBODY = UUID(int=0)
_NO_LIMIT = 2**62


@dataclass(frozen=True, slots=True)
class Group:
    """Hold contacts whose window is over; goals: how many of them reached one; pending: whose window is not."""

    arm: Arm
    goals: int
    pending: int


def groups(
    connection: Connection,
    key: str,
    since: datetime,
    now: datetime,
    window: timedelta,
    *,
    step: str = "",
    planned: int = 0,
) -> dict[str, Group]:
    """Return the groups of a journey's split, or of its hold-out without a step, by variant.

    planned: so many contacts of each count, the first ones; 0: all.
    """
    sizes, orders = _OF_SPLIT if step else _OF_HOLD_OUT
    values: dict[str, Any] = {
        "key": key,
        "since": since,
        "now": now,
        "window": window,
        "nobody": _NOBODY,
        "most": planned or _NO_LIMIT,
    }
    values |= {"step": step} if step else {}
    bought = purchases.bought(connection, orders, values)
    return {
        row.variant: Group(
            bought.get(row.variant, Bought()).arm(row.variant, row.assigned), row.goals, row.pending
        )
        for row in connection.execute(sizes, values)
    }


def definitions(connection: Connection, key: str) -> list[tuple[dict[str, Any], datetime]]:
    """Return the definitions of a journey's versions as stored, newest first, and when each was made."""
    query = (
        sa.select(journey_version.c.definition, journey_version.c.create_time)
        .where(journey_version.c.journey_id == key)
        .order_by(journey_version.c.version.desc())
    )
    return [(row[0], row[1]) for row in connection.execute(query)]
