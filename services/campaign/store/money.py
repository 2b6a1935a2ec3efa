"""Queries on what things cost: the budgets of campaigns and journeys, and messages by channel."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal
from typing import NamedTuple

import sqlalchemy as sa
from sqlalchemy import Connection
from sqlalchemy.dialects import postgresql as pg

from services.campaign.models import budget as budget_table
from services.campaign.models import channel_cost_history

Amount = tuple[Decimal, str]
BEGINNING = datetime(1970, 1, 1, tzinfo=UTC)

# Few periods beside many messages: these are read once.
_SPENT = sa.text("""
WITH period AS (
    SELECT channel, amount, currency, start_time,
        lead(start_time, 1, 'infinity') OVER (PARTITION BY channel ORDER BY start_time) AS end_time
    FROM channel_cost_history
), counted AS (
    SELECT period.channel, period.amount, period.currency, count(*) AS number
    FROM message JOIN period ON period.channel = message.channel AND message.send_time >= period.start_time
        AND message.send_time < period.end_time
    WHERE message.origin = :origin AND message.state = 'sent' AND period.amount > 0
    GROUP BY period.channel, period.amount, period.currency
)
SELECT channel, sum(amount * number), currency FROM counted GROUP BY channel, currency ORDER BY channel, currency
""")


class Cost(NamedTuple):
    """Say what one message by a channel costs from a time on; amount 0: nothing."""

    channel: str
    amount: Decimal
    currency: str
    start_time: datetime


def budget(connection: Connection, origin: str) -> Amount | None:
    """Return the budget of a campaign or journey, or None."""
    table = budget_table
    row = connection.execute(
        sa.select(table.c.amount, table.c.currency).where(table.c.origin == origin)
    ).first()
    return None if row is None else (row[0], row[1])


def set_budget(connection: Connection, origin: str, amount: Amount | None) -> None:
    """Store a budget, or none."""
    if amount is None:
        connection.execute(sa.delete(budget_table).where(budget_table.c.origin == origin))
        return
    values = {"origin": origin, "amount": amount[0], "currency": amount[1]}
    insert = pg.insert(budget_table).values(values)
    connection.execute(insert.on_conflict_do_update(index_elements=["origin"], set_=values))


def costs(connection: Connection) -> list[Cost]:
    """Return all that messages ever cost, by channel and time."""
    table = channel_cost_history
    query = sa.select(table.c.channel, table.c.amount, table.c.currency, table.c.start_time)
    return [Cost(*row) for row in connection.execute(query.order_by(table.c.channel, table.c.start_time))]


def channel_costs(connection: Connection, now: datetime) -> dict[str, Amount]:
    """Return what one message costs now, by channel; those that cost nothing are left out."""
    found = {
        item.channel: (item.amount, item.currency) for item in costs(connection) if item.start_time <= now
    }
    return {channel: amount for channel, amount in found.items() if amount[0]}


def lock_costs(connection: Connection) -> None:
    """Let nobody else change costs until the transaction ends."""
    connection.exec_driver_sql("LOCK TABLE channel_cost_history IN SHARE ROW EXCLUSIVE MODE")


def set_cost(connection: Connection, cost: Cost) -> None:
    """Store what one message costs from a time on, in the place of what was set for the same time."""
    values = cost._asdict()
    insert = pg.insert(channel_cost_history).values(values)
    connection.execute(insert.on_conflict_do_update(index_elements=["channel", "start_time"], set_=values))


def spent(connection: Connection, origin: str) -> dict[str, list[Amount]]:
    """Return what the sent messages of an origin cost when they were sent, by channel; in each currency once."""
    found: dict[str, list[Amount]] = {}
    for channel, amount, currency in connection.execute(_SPENT, {"origin": origin}):
        found.setdefault(channel, []).append((amount, currency))
    return found
