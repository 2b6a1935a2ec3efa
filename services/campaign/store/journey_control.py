"""Queries that halt journeys, let them go on, and end what is on them."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from datetime import datetime
from typing import Any
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy import Connection
from sqlalchemy.dialects import postgresql as pg

from services.campaign.domain.journey_states import CANCELLED as JOURNEY_CANCELLED
from services.campaign.domain.journey_states import PAUSED, Pause
from services.campaign.domain.journeys import CANCELLED, REMOVED
from services.campaign.domain.ledger import CLAIMED, PLANNED
from services.campaign.models import (
    journey,
    journey_action,
    journey_entry,
    journey_pause,
    journey_signal,
    message,
)

_UUIDS = pg.ARRAY(pg.UUID(as_uuid=True))
_TEXTS = pg.ARRAY(sa.Text)


def set_state(connection: Connection, key: str, state: str, now: datetime, reason: str = "") -> None:
    """Store the state of a locked journey, which differs from the one before, and when its pause began or ended."""
    values: dict[str, Any] = {"state": state}
    if state == JOURNEY_CANCELLED:
        values |= {"active": False, "activate_time": None, "cancel_reason": reason}
    connection.execute(sa.update(journey).where(journey.c.id == key).values(values))
    if state == PAUSED:
        insert = pg.insert(journey_pause).values(journey_id=key, pause_time=now)
        # Paused, resumed and paused again at one moment is one pause.
        begun = insert.on_conflict_do_update(
            index_elements=["journey_id", "pause_time"], set_={"resume_time": None}
        )
        connection.execute(begun)
        return
    is_open = sa.and_(journey_pause.c.journey_id == key, journey_pause.c.resume_time.is_(None))
    connection.execute(sa.update(journey_pause).where(is_open).values(resume_time=now))


def pauses(connection: Connection, keys: Collection[str], since: datetime) -> Mapping[str, list[Pause]]:
    """Return the pauses of journeys that ended after a moment, each from its beginning to its end, in order."""
    table = journey_pause.c
    query = (
        sa.select(table.journey_id, table.pause_time, table.resume_time)
        .where(table.journey_id == sa.any_(sa.cast(sorted(keys), _TEXTS)), table.resume_time > since)
        .order_by(table.journey_id, table.pause_time)
    )
    found: dict[str, list[Pause]] = {}
    for key, start, end in connection.execute(query):
        found.setdefault(key, []).append((start, end))
    return found


def cancelled_with_rest(connection: Connection) -> list[str]:
    """Return the cancelled journeys of which something is left: entries, planned messages or deeds."""
    query = sa.text("""
SELECT journey.id FROM journey WHERE journey.state = :cancelled AND (
    EXISTS (SELECT FROM journey_entry AS e WHERE e.journey_id = journey.id AND e.finish_time IS NULL)
    OR EXISTS (SELECT FROM message AS m WHERE m.origin = 'journeys/' || journey.id AND m.state = 'planned')
    OR EXISTS (SELECT FROM journey_action AS a WHERE a.journey_id = journey.id AND a.state = 'planned')
) ORDER BY journey.id
""")
    return list(connection.scalars(query, {"cancelled": JOURNEY_CANCELLED}))


_END = sa.text("""
WITH chosen AS (
    SELECT id FROM journey_entry WHERE journey_id = :key AND finish_time IS NULL LIMIT :limit
    FOR UPDATE SKIP LOCKED
), ended AS (
    UPDATE journey_entry SET finish_time = :now, outcome = :outcome, end_reason = :reason, problem = '',
        signalled = false
    FROM chosen WHERE journey_entry.id = chosen.id
), unheard AS (
    DELETE FROM journey_signal USING chosen WHERE journey_signal.entry_id = chosen.id
)
SELECT count(*) FROM chosen
""").bindparams(sa.bindparam("now", type_=sa.DateTime(timezone=True)))

_CANCEL_DEEDS = sa.text("""
WITH chosen AS (
    SELECT id FROM journey_action WHERE journey_id = :key AND state = 'planned' LIMIT :limit
    FOR UPDATE SKIP LOCKED
), ended AS (
    UPDATE journey_action SET state = 'cancelled', reason = 'JOURNEY_CANCELLED', finish_time = :now
    FROM chosen WHERE journey_action.id = chosen.id
)
SELECT count(*) FROM chosen
""").bindparams(sa.bindparam("now", type_=sa.DateTime(timezone=True)))


def end_some(connection: Connection, key: str, reason: str, now: datetime, limit: int) -> int:
    """End open entries of a cancelled journey and cancel its deeds, some thousand of each at most; how many."""
    given = {"key": key, "now": now, "limit": limit}
    ended = connection.execute(_END, given | {"outcome": CANCELLED, "reason": reason}).scalar_one()
    return int(ended) + int(connection.execute(_CANCEL_DEEDS, given).scalar_one())


def remove(
    connection: Connection, key: str, contacts: Collection[UUID], reason: str, now: datetime
) -> tuple[int, int]:
    """End the open entries of contacts and cancel what was planned for them; returns how many entries and messages.

    Whoever moves an entry at this moment is waited for, so that what its steps planned is cancelled, too.
    """
    wanted = sa.any_(sa.cast(sorted(contacts), _UUIDS))
    entry = journey_entry.c
    mine = (
        sa.select(entry.id)
        .where(entry.journey_id == key, entry.contact_id == wanted)
        .order_by(entry.id)
        .with_for_update()
    )
    entries = list(connection.scalars(mine))
    if not entries:
        return 0, 0
    theirs = sa.any_(sa.cast(entries, _UUIDS))
    ended = connection.execute(
        sa.update(journey_entry)
        .where(entry.id == theirs, entry.finish_time.is_(None))
        .values(finish_time=now, outcome=REMOVED, end_reason=reason, problem="", signalled=False)
    ).rowcount
    connection.execute(sa.delete(journey_signal).where(journey_signal.c.entry_id == theirs))
    connection.execute(
        sa.update(journey_action)
        .where(journey_action.c.entry_id == theirs, journey_action.c.state == PLANNED)
        .values(state=CANCELLED, reason="REMOVED_FROM_JOURNEY", finish_time=now)
    )
    # A sender that has one in hand finds it cancelled before it leaves.
    cancelled = connection.execute(
        sa.update(message)
        .where(
            message.c.contact_id == wanted,
            message.c.origin == f"journeys/{key}",
            message.c.state.in_((PLANNED, CLAIMED)),
        )
        .values(state=CANCELLED, reason="REMOVED_FROM_JOURNEY", content=sa.null())
    ).rowcount
    return ended, cancelled
