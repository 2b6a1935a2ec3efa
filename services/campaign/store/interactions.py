"""Queries on interactions with messages."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy import Connection
from sqlalchemy.dialects import postgresql as pg

from services.campaign.domain.interactions import (
    BURST,
    CLICK,
    COMPANY,
    HUMAN,
    OPEN,
    PENDING,
    SCANNER,
    SHARED,
    TWIN,
    UNSUBSCRIBE,
    Hit,
    Told,
)
from services.campaign.models import interaction, message
from services.kit.locks import lock_key

_LOCK = lock_key("interactions")
_UUIDS, _TEXTS = pg.ARRAY(pg.UUID(as_uuid=True)), pg.ARRAY(sa.Text)
_TIMES, _INTEGERS, _BYTES = (
    pg.ARRAY(sa.DateTime(timezone=True)),
    pg.ARRAY(sa.Integer),
    pg.ARRAY(sa.LargeBinary),
)
LEFT = ("sending", "sent", "unknown")
"""States of messages that may have reached somebody: servers look at a mail before they confirm that they took it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Interaction:
    """Hold an interaction as callers see it."""

    id: UUID
    message_id: UUID
    contact_id: UUID | None
    origin: str
    kind: str
    link: int
    time: datetime
    verdict: str
    rule: str
    agent: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Selection:
    """Say which interactions are meant; what is empty or None selects all."""

    message_id: UUID | None = None
    contact_id: UUID | None = None
    origin: str = ""
    kind: str = ""
    verdict: str = ""
    rule: str = ""
    start_time: datetime | None = None
    end_time: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """Hold a pending interaction and what was seen around it."""

    id: UUID
    message_id: UUID
    kind: str
    link: int
    time: datetime
    agent: str
    source_hash: bytes | None
    send_time: datetime | None
    burst_links: int
    twin_links: int
    shared_messages: int
    scanner_near: bool


@dataclass(frozen=True, slots=True)
class Group:
    """Name the interactions of one kind with one link of a message."""

    message_id: UUID
    kind: str
    link: int


@dataclass(frozen=True, slots=True)
class Sent:
    """Hold what events tell of a message."""

    contact_id: UUID | None
    origin: str
    channel: str
    topic: str


_ITEM = [interaction.c[name] for name in Interaction.__dataclass_fields__]

# The inner limits bound the work for somebody who asks for one link a thousand times: more than so many decide
# nothing.
_PENDING = f"""
WITH due AS MATERIALIZED (
    SELECT * FROM interaction WHERE verdict = '{PENDING}' AND time <= %(until)s ORDER BY time, id LIMIT %(limit)s
),
around AS MATERIALIZED (
    SELECT * FROM due UNION
    SELECT near.* FROM due CROSS JOIN LATERAL (
        SELECT * FROM interaction AS o WHERE o.message_id = due.message_id AND o.source_hash = due.source_hash
        AND o.time BETWEEN due.time - %(company)s AND due.time + %(company)s AND o.verdict = '{PENDING}' LIMIT 50
    ) AS near
)
SELECT a.id, a.message_id, a.kind, a.link, a.time, a.agent, a.source_hash, m.send_time,
    (SELECT count(DISTINCT s.link) FROM (
        SELECT o.link FROM interaction AS o WHERE o.message_id = a.message_id AND o.kind = '{CLICK}'
        AND o.time BETWEEN a.time - %(burst)s AND a.time + %(burst)s LIMIT 200) AS s) AS burst_links,
    (SELECT count(DISTINCT s.link) FROM (
        SELECT o.link FROM interaction AS o WHERE o.message_id = a.message_id AND o.kind = '{CLICK}'
        AND o.time BETWEEN a.time - %(twin)s AND a.time + %(twin)s LIMIT 200) AS s) AS twin_links,
    (SELECT count(DISTINCT s.message_id) FROM (
        SELECT o.message_id FROM interaction AS o WHERE o.source_hash = a.source_hash AND o.kind = '{CLICK}'
        AND o.time BETWEEN a.time - %(shared)s AND a.time + %(shared)s LIMIT 200) AS s) AS shared_messages,
    EXISTS (SELECT FROM interaction AS o WHERE o.message_id = a.message_id AND o.source_hash = a.source_hash
        AND o.verdict = '{SCANNER}' AND o.time BETWEEN a.time - %(company)s AND a.time + %(company)s) AS scanner_near
FROM around AS a JOIN message AS m ON m.id = a.message_id
ORDER BY a.time, a.id
"""
_WINDOWS = {"burst": BURST, "twin": TWIN, "shared": SHARED, "company": COMPANY}


def lock(connection: Connection) -> None:
    """Decide alone until the transaction ends: verdicts and what is told of them go together."""
    connection.exec_driver_sql(f"SELECT pg_advisory_xact_lock({_LOCK})")


def try_lock(connection: Connection) -> bool:
    """Try to decide alone, and say whether nobody else does."""
    return bool(connection.exec_driver_sql(f"SELECT pg_try_advisory_xact_lock({_LOCK})").scalar_one())


def insert(connection: Connection, hits: Sequence[Hit]) -> int:
    """Write what was seen of messages that left; the rest, and what is written already, is passed over."""
    if not hits:
        return 0
    hit = (
        sa.func.unnest(
            sa.cast([item.id for item in hits], _UUIDS),
            sa.cast([item.message_id for item in hits], _UUIDS),
            sa.cast([item.kind for item in hits], _TEXTS),
            sa.cast([item.link for item in hits], _INTEGERS),
            sa.cast([item.time for item in hits], _TIMES),
            sa.cast([item.agent for item in hits], _TEXTS),
            sa.cast([item.source_hash for item in hits], _BYTES),
        )
        .table_valued("id", "message_id", "kind", "link", "time", "agent", "source_hash", name="hit")
        .render_derived()
    )
    rows = sa.select(
        hit.c.id,
        hit.c.message_id,
        message.c.contact_id,
        message.c.origin,
        hit.c.kind,
        hit.c.link,
        hit.c.time,
        # Whoever presses the button is a person, and is obeyed in any case.
        sa.case((hit.c.kind == UNSUBSCRIBE, HUMAN), else_=PENDING),
        sa.literal(""),
        hit.c.agent,
        hit.c.source_hash,
    ).join(message, sa.and_(message.c.id == hit.c.message_id, message.c.state.in_(LEFT)))
    columns = ["id", "message_id", "contact_id", "origin", "kind", "link", "time", "verdict", "rule", "agent"]
    statement = (
        pg.insert(interaction).from_select([*columns, "source_hash"], rows).on_conflict_do_nothing()
    ).returning(sa.literal(1))
    return len(connection.execute(statement).all())


def pending(connection: Connection, until: datetime, limit: int) -> list[Seen]:
    """Return what is pending up to a time, oldest first, with what lies around it; that may be younger."""
    rows = connection.exec_driver_sql(_PENDING, {"until": until, "limit": limit, **_WINDOWS})
    return [Seen(**row._mapping) for row in rows]


def settle(connection: Connection, verdicts: Sequence[tuple[UUID, str, str]]) -> None:
    """Write verdicts and their rules on pending interactions."""
    connection.exec_driver_sql(
        "UPDATE interaction AS i SET verdict = v.verdict, rule = v.rule "
        "FROM unnest(%(ids)s::uuid[], %(verdicts)s::text[], %(rules)s::text[]) AS v(id, verdict, rule) "
        f"WHERE i.id = v.id AND i.verdict = '{PENDING}'",
        {
            "ids": [key for key, _, _ in verdicts],
            "verdicts": [verdict for _, verdict, _ in verdicts],
            "rules": [rule for _, _, rule in verdicts],
        },
    )


def groups(connection: Connection, wanted: Collection[Group]) -> dict[Group, tuple[Sent, list[Told]]]:
    """Return what decides what is told of groups: what is told, and the first that a person did."""
    rows = connection.exec_driver_sql(
        f"""
        SELECT g.message_id, g.kind, g.link, m.contact_id, m.origin, m.channel, m.topic,
            t.id, t.time, t.verdict, t.event_id
        FROM unnest(%(messages)s::uuid[], %(kinds)s::text[], %(links)s::int[]) AS g(message_id, kind, link)
        JOIN message AS m ON m.id = g.message_id
        CROSS JOIN LATERAL (
            (SELECT * FROM interaction AS i WHERE i.message_id = g.message_id AND i.kind = g.kind
             AND i.link = g.link AND i.verdict = '{HUMAN}' ORDER BY i.time, i.id LIMIT 1)
            UNION
            SELECT * FROM interaction AS i WHERE i.message_id = g.message_id AND i.kind = g.kind
            AND i.link = g.link AND i.event_id IS NOT NULL
        ) AS t
        """,
        {
            "messages": [item.message_id for item in wanted],
            "kinds": [item.kind for item in wanted],
            "links": [item.link for item in wanted],
        },
    )
    found: dict[Group, tuple[Sent, list[Told]]] = {}
    for row in rows:
        key = Group(row.message_id, row.kind, row.link)
        sent = Sent(row.contact_id, row.origin, row.channel, row.topic)
        found.setdefault(key, (sent, []))[1].append(Told(row.id, row.time, row.verdict, row.event_id))
    return found


def mark_told(connection: Connection, told: Sequence[tuple[UUID, UUID | None]]) -> None:
    """Write which events tell of interactions; None: no more."""
    connection.exec_driver_sql(
        "UPDATE interaction AS i SET event_id = v.event_id "
        "FROM unnest(%(ids)s::uuid[], %(events)s::uuid[]) AS v(id, event_id) WHERE i.id = v.id",
        {"ids": [key for key, _ in told], "events": [event for _, event in told]},
    )


def reclassify(
    connection: Connection, selection: Selection, verdict: str, rule: str, limit: int
) -> tuple[int, set[Group]]:
    """Give decided openings and clicks another verdict; returns how many changed and of which groups."""
    chosen = (
        sa.select(interaction.c.id)
        .where(
            *_where(selection),
            interaction.c.kind.in_((OPEN, CLICK)),
            interaction.c.verdict.not_in((PENDING, verdict)),
        )
        .limit(limit)
        .cte("chosen")
    )
    statement = (
        sa.update(interaction)
        .where(interaction.c.id == chosen.c.id)
        .values(verdict=verdict, rule=rule)
        .returning(interaction.c.message_id, interaction.c.kind, interaction.c.link)
    )
    rows = connection.execute(statement).all()
    return len(rows), {Group(*row) for row in rows}


def page(
    connection: Connection, selection: Selection, *, before: UUID | None, count: int
) -> list[Interaction]:
    """Return the next interactions, newest first (ids rise with time)."""
    query = sa.select(*_ITEM).where(*_where(selection)).order_by(interaction.c.id.desc()).limit(count)
    if before is not None:
        query = query.where(interaction.c.id < before)
    return [Interaction(**row._mapping) for row in connection.execute(query)]


def unsubscribed_since(connection: Connection, message_id: UUID, since: datetime | None) -> bool:
    """Say whether a message's unsubscribe link was used since a time, None for ever.

    Who asks the same waits for this transaction.
    """
    connection.exec_driver_sql(
        "SELECT pg_advisory_xact_lock(%(key)s)", {"key": lock_key(f"unsubscribe:{message_id}")}
    )
    found = sa.exists().where(
        interaction.c.message_id == message_id,
        interaction.c.kind == UNSUBSCRIBE,
        *([] if since is None else [interaction.c.time > since]),
    )
    return bool(connection.execute(sa.select(found)).scalar_one())


def forget(connection: Connection, before: datetime, limit: int) -> int:
    """Delete interactions from before a time, at most `limit`, and return how many."""
    old = sa.select(interaction.c.id).where(interaction.c.time < before).limit(limit)
    return connection.execute(sa.delete(interaction).where(interaction.c.id.in_(old))).rowcount


def _where(selection: Selection) -> list[Any]:
    conditions: list[Any] = []
    for name in ("message_id", "contact_id", "origin", "kind", "verdict"):
        value = getattr(selection, name)
        if value:
            conditions.append(interaction.c[name] == value)
    if selection.rule:
        # What follows a colon is why somebody decided so.
        conditions.append(sa.func.split_part(interaction.c.rule, ":", 1) == selection.rule)
    if selection.start_time is not None:
        conditions.append(interaction.c.time >= selection.start_time)
    if selection.end_time is not None:
        conditions.append(interaction.c.time < selection.end_time)
    return conditions
