"""Queries on what things cost: the budgets of campaigns and journeys, and messages by channel."""

from __future__ import annotations

from decimal import Decimal

import sqlalchemy as sa
from sqlalchemy import Connection
from sqlalchemy.dialects import postgresql as pg

from services.campaign.models import budget as budget_table
from services.campaign.models import channel_cost

Amount = tuple[Decimal, str]


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


def channel_costs(connection: Connection) -> dict[str, Amount]:
    """Return what one message costs, by channel."""
    query = sa.select(channel_cost).order_by(channel_cost.c.channel)
    return {row.channel: (row.amount, row.currency) for row in connection.execute(query)}


def set_channel_cost(connection: Connection, channel: str, amount: Amount | None) -> None:
    """Store what one message costs, or that it costs nothing."""
    if amount is None:
        connection.execute(sa.delete(channel_cost).where(channel_cost.c.channel == channel))
        return
    values = {"channel": channel, "amount": amount[0], "currency": amount[1]}
    insert = pg.insert(channel_cost).values(values)
    connection.execute(insert.on_conflict_do_update(index_elements=["channel"], set_=values))
