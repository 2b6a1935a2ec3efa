"""Queries on channels as they are known, and on the messages of those that are gone."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy import Connection
from sqlalchemy.dialects import postgresql as pg

from services.campaign.domain.ledger import FAILED, PLANNED
from services.campaign.models import channel, message
from services.campaign.store.claims import COLUMNS, Claim


def address_kind(connection: Connection, message_id: UUID) -> str | None:
    """Return the kind of address that a message's channel writes to, such as `email`; None when it is not known."""
    query = (
        sa.select(channel.c.address_kind)
        .join(message, message.c.channel == channel.c.name)
        .where(message.c.id == message_id)
    )
    return connection.execute(query).scalar_one_or_none()


def save_channels(connection: Connection, rows: Sequence[Mapping[str, Any]]) -> None:
    """Remember channels as they are now."""
    if not rows:
        return
    insert = pg.insert(channel).values(sorted(rows, key=lambda row: str(row["name"])))
    connection.execute(
        insert.on_conflict_do_update(
            index_elements=["name"],
            set_={name: insert.excluded[name] for name in ("address_kind", "idempotent", "when_gone")},
        )
    )


def explain_missing(
    connection: Connection, available: Collection[str], why: Mapping[str, str], limit: int = 5_000
) -> list[Claim]:
    """Write on due messages of channels that are not available why they wait.

    Messages of a channel that declared `fail` for this case fail; these are returned.
    """
    failed: list[Claim] = []
    for name, reason in why.items():
        if name in available:
            continue
        fails = connection.execute(
            sa.select(sa.true()).where(channel.c.name == name, channel.c.when_gone == "fail")
        ).scalar()
        chosen = (
            sa.select(message.c.id)
            .where(message.c.state == PLANNED, message.c.channel == name, message.c.reason != reason)
            .limit(limit)
            .with_for_update(skip_locked=True)
            .cte("chosen")
        )
        values: dict[str, Any] = {"reason": reason}
        if fails:
            values |= {"state": FAILED, "content": sa.null()}
        statement = sa.update(message).where(message.c.id == chosen.c.id).values(values).returning(*COLUMNS)
        rows = connection.execute(statement).all()
        if fails:
            failed += map(Claim._make, rows)
    return failed


def planned_channels(connection: Connection) -> list[str]:
    """Return the channels that have planned messages."""
    rows = connection.execute(
        sa.text("""
WITH RECURSIVE step AS (
    (SELECT channel FROM message WHERE state = 'planned' ORDER BY channel LIMIT 1)
    UNION ALL
    SELECT following.channel FROM step CROSS JOIN LATERAL (
        SELECT message.channel FROM message WHERE state = 'planned' AND message.channel > step.channel
        ORDER BY message.channel LIMIT 1
    ) AS following
)
SELECT channel FROM step
""")
    )
    return [row.channel for row in rows]
