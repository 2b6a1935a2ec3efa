"""Queries on the history of consents."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from datetime import datetime
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy import Connection
from sqlalchemy.dialects import postgresql as pg

from services.contacts.domain.consents import Decision
from services.contacts.domain.merging import DecisionKey
from services.contacts.models import consent
from services.contacts.store.encoding import Times
from services.kit.db import copy_rows

_ORDER = (consent.c.decide_time, consent.c.channel, consent.c.topic, consent.c.granted)
# The place of a decision among those of its contact, as `page` orders them.
Place = tuple[datetime, str, str, bool]


def insert(connection: Connection, decisions: Iterable[tuple[UUID | str, Decision]], now: datetime) -> None:
    """Write decisions into the history."""
    times = Times()
    recorded = times[now]
    rows = [
        (
            str(key),
            times[one.decide_time],
            one.channel,
            one.topic,
            one.granted,
            one.source,
            one.proof,
            recorded,
        )
        for key, one in decisions
    ]
    if rows:
        copy_rows(connection, consent, [column.name for column in consent.c], rows)


def find_recorded(connection: Connection, keys: Collection[DecisionKey]) -> set[DecisionKey]:
    """Return those of the decisions that the history holds."""
    if not keys:
        return set()
    contacts, channels, topics, times, states = zip(*keys, strict=True)
    wanted = (
        sa.func.unnest(
            sa.cast(list(contacts), pg.ARRAY(pg.UUID(as_uuid=True))),
            sa.cast(list(channels), pg.ARRAY(sa.Text)),
            sa.cast(list(topics), pg.ARRAY(sa.Text)),
            sa.cast(list(times), pg.ARRAY(sa.DateTime(timezone=True))),
            sa.cast(list(states), pg.ARRAY(sa.Boolean)),
        )
        .table_valued("contact_id", "channel", "topic", "decide_time", "granted")
        .render_derived()
    )
    columns = [consent.c[name] for name in ("contact_id", "channel", "topic", "decide_time", "granted")]
    same = sa.and_(*(column == wanted.c[column.name] for column in columns))
    rows = connection.execute(sa.select(*columns).join(wanted, same))
    return {tuple(row) for row in rows}


def page(connection: Connection, contact_id: UUID, after: Place | None, limit: int) -> list[Decision]:
    """Return decisions of a contact, newest first, those behind `after`."""
    query = sa.select(consent).where(consent.c.contact_id == contact_id)
    query = query.order_by(*(column.desc() for column in _ORDER)).limit(limit)
    if after is not None:
        query = query.where(sa.tuple_(*_ORDER) < sa.tuple_(*map(sa.literal, after)))
    return [
        Decision(row.channel, row.topic, row.granted, row.decide_time, row.source, row.proof)
        for row in connection.execute(query)
    ]
