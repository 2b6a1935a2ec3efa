"""Queries on activities."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from datetime import datetime
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy import Connection
from sqlalchemy.dialects import postgresql as pg

from services.contacts.domain.activities import Activity
from services.contacts.domain.attributes import ActivityType
from services.contacts.models import activity
from services.contacts.store import encoding
from services.kit.db import copy_rows

_COLUMNS = [column.name for column in activity.c]


def insert(connection: Connection, activities: Iterable[Activity], now: datetime) -> None:
    """Write activities; raises IntegrityError when another transaction recorded one of them meanwhile.

    Sorted by what must be unique, so that two batches never wait for each other crosswise.
    """
    rows = [
        (
            one.id,
            one.contact_id,
            one.type,
            one.occur_time,
            encoding.to_json(encoding.values_to_json(one.fields)),
            one.source,
            one.external_id,
            one.historical,
            now,
        )
        for one in sorted(activities, key=lambda one: (one.source, one.external_id))
    ]
    if rows:
        copy_rows(connection, activity, _COLUMNS, rows)


def find_recorded(connection: Connection, keys: Collection[tuple[str, str]]) -> set[tuple[str, str]]:
    """Return those (source, external id) that are recorded already."""
    if not keys:
        return set()
    sources, ids = zip(*keys, strict=True)
    wanted = (
        sa.func.unnest(sa.cast(list(sources), pg.ARRAY(sa.Text)), sa.cast(list(ids), pg.ARRAY(sa.Text)))
        .table_valued("source", "external_id")
        .render_derived()
    )
    query = sa.select(activity.c.source, activity.c.external_id).join(
        wanted,
        sa.and_(
            activity.c.source == wanted.c.source,
            activity.c.external_id == wanted.c.external_id,
            # The condition of the partial index.
            activity.c.external_id != sa.text("''"),
        ),
    )
    return {(row.source, row.external_id) for row in connection.execute(query)}


def page(
    connection: Connection,
    contact_id: UUID,
    types: Callable[[Collection[str]], Mapping[str, ActivityType]],
    after: tuple[datetime, UUID] | None,
    limit: int,
) -> list[Activity]:
    """Return activities of a contact, newest first, those behind `after`."""
    query = sa.select(activity).where(activity.c.contact_id == contact_id)
    query = query.order_by(activity.c.occur_time.desc(), activity.c.id.desc()).limit(limit)
    if after is not None:
        place = sa.tuple_(activity.c.occur_time, activity.c.id)
        query = query.where(place < sa.tuple_(*map(sa.literal, after)))
    rows = connection.execute(query).all()
    known = types({row.type for row in rows})
    value_types = {name: {field.id: field.type for field in one.fields} for name, one in known.items()}
    return [
        Activity(
            row.id,
            row.contact_id,
            row.type,
            row.occur_time,
            encoding.values_from_json(row.fields, value_types[row.type]),
            row.source,
            row.external_id,
            row.historical,
        )
        for row in rows
    ]
