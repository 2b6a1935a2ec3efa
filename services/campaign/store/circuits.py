"""Queries on the circuits of the senders, which they write down every few seconds."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy import Connection
from sqlalchemy.dialects import postgresql as pg

from services.campaign.models import circuit
from services.campaign.store.claims import sender_lock
from services.kit.locks import lock_key


@dataclass(frozen=True, slots=True, kw_only=True)
class CircuitRow:
    """Hold how one sender finds a channel, or a domain of it. retry_seconds: until the next probe, when it was told."""

    channel: str
    domain: str
    state: str
    failures: int
    retry_seconds: float
    problem: str
    sent_count: int = 0
    seconds_per_message: float = 0.0
    update_time: datetime | None = None
    sender_id: UUID | None = None


def save(connection: Connection, sender: UUID, rows: Sequence[CircuitRow], now: datetime) -> None:
    """Put these in the place of all that a sender told before."""
    connection.execute(sa.delete(circuit).where(circuit.c.sender_id == sender))
    if rows:
        connection.execute(
            sa.insert(circuit), [asdict(row) | {"sender_id": sender, "update_time": now} for row in rows]
        )


def forget_dead(connection: Connection) -> None:
    """Delete what senders told that are dead, that is, whose lock is free."""
    senders = list(connection.scalars(sa.select(circuit.c.sender_id).distinct()))
    if not senders:
        return
    item = (
        sa.func.unnest(
            sa.cast(senders, pg.ARRAY(pg.UUID(as_uuid=True))),
            sa.cast([lock_key(sender_lock(key)) for key in senders], pg.ARRAY(sa.BigInteger)),
        )
        .table_valued("id", "lock", name="item")
        .render_derived()
    )
    dead = sa.select(item.c.id).where(sa.func.pg_try_advisory_xact_lock(item.c.lock)).cte("dead")
    connection.execute(sa.delete(circuit).where(circuit.c.sender_id.in_(sa.select(dead.c.id))))


def read_all(connection: Connection) -> list[CircuitRow]:
    """Return what all senders told, by channel and domain."""
    query = sa.select(circuit).order_by(circuit.c.channel, circuit.c.domain, circuit.c.sender_id)
    return [CircuitRow(**row._mapping) for row in connection.execute(query)]
