"""Profiles as the Python form of a plugin's rule gets them, as they were at a past time."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import fields
from datetime import datetime
from uuid import UUID

import sqlalchemy as sa
from rapport_sdk import Event, Profile
from sqlalchemy import Connection
from sqlalchemy.dialects import postgresql as pg

from services.segmentation.models import event
from services.segmentation.store import past

_OF_ROW = tuple(
    item.name for item in fields(Profile) if item.name not in ("tags", "history", "next_event_time")
)


def read(
    connection: Connection, contact_ids: Sequence[UUID], event_types: Iterable[str], at: datetime
) -> list[Profile]:
    """Return the profiles of a time with the events of some types up to it; in the order given, without unknown ids.

    at: as for `past.relation_at`. What happened later was not known then: no profile has a next_event_time.
    """
    history = _history(connection, contact_ids, sorted(event_types), at)
    rows = {row.contact_id: row for row in connection.execute(sa.select(past.relation_at(at, contact_ids)))}
    return [
        Profile(
            **{name: getattr(row, name) for name in _OF_ROW},
            tags=tuple(row.tags),
            history=tuple(history[row.contact_id]),
        )
        for contact_id in contact_ids
        if (row := rows.get(contact_id)) is not None
    ]


def _history(
    connection: Connection, contact_ids: Sequence[UUID], types: Sequence[str], at: datetime
) -> defaultdict[UUID, list[Event]]:
    found: defaultdict[UUID, list[Event]] = defaultdict(list)
    if not types:
        return found
    query = (
        sa.select(
            event.c.contact_id,
            event.c.type,
            event.c.occurred_at,
            event.c.event_id,
            event.c.category,
            event.c.amount,
            event.c.payload,
        )
        .where(
            event.c.contact_id == sa.any_(sa.literal(list(contact_ids), pg.ARRAY(pg.UUID(as_uuid=True)))),
            event.c.type.in_(types),
            event.c.occurred_at <= at,
        )
        .order_by(event.c.occurred_at, event.c.event_id)
    )
    for contact_id, *values in connection.execute(query):
        found[contact_id].append(Event(*values))
    return found
