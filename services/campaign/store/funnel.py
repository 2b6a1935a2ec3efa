"""Queries on what became of the messages of an origin, and what orders are attributed to them."""

from __future__ import annotations

import sqlalchemy as sa
from sqlalchemy import Connection

from services.campaign.domain.funnel import Earned, Stood
from services.campaign.domain.ledger import SUPPRESSED
from services.campaign.models import campaign, conversion, journey, message

# Each order counts once for a channel, and once for all of them.
_EARNED = sa.text("""
SELECT channel, currency, count(DISTINCT order_id) FILTER (WHERE sale_id = order_id) AS orders,
    coalesce(sum(amount) FILTER (WHERE sale_id = order_id), 0) AS gross,
    coalesce(-sum(amount) FILTER (WHERE sale_id <> order_id), 0) AS returned
FROM conversion WHERE origin = :origin GROUP BY GROUPING SETS ((channel, currency), (currency))
""")


def exists(connection: Connection, origin: str) -> bool:
    """Tell whether there is a campaign or journey of that name."""
    collection, _, key = origin.partition("/")
    table = {"campaigns": campaign, "journeys": journey}.get(collection)
    if table is None:
        return False
    return connection.execute(sa.select(table.c.id).where(table.c.id == key)).first() is not None


def stood(connection: Connection, origin: str) -> list[Stood]:
    """Return how the messages of an origin stand."""
    # What follows a colon is the detail of a reason.
    reason = sa.case(
        (message.c.state == SUPPRESSED, sa.func.split_part(message.c.reason, ":", 1)), else_=sa.literal("")
    ).label("reason")
    query = (
        sa.select(message.c.channel, message.c.state, reason, sa.func.count())
        .where(message.c.origin == origin)
        .group_by(message.c.channel, message.c.state, reason)
    )
    return [Stood(*row) for row in connection.execute(query)]


def converted(connection: Connection, origin: str) -> dict[str, int]:
    """Return how many messages have a part of an order, by channel."""
    query = (
        sa.select(conversion.c.channel, sa.func.count(conversion.c.message_id.distinct()))
        .where(conversion.c.origin == origin, conversion.c.sale_id == conversion.c.order_id)
        .group_by(conversion.c.channel)
    )
    return {row[0]: row[1] for row in connection.execute(query)}


def earned(connection: Connection, origin: str) -> list[Earned]:
    """Return what orders brought, by channel and currency, and for all channels by currency."""
    return [Earned(*row) for row in connection.execute(_EARNED, {"origin": origin})]


def outdated(connection: Connection, origin: str, rule_revision: int) -> int:
    """Return how many parts of orders were attributed by another rule than this."""
    query = sa.select(sa.func.count()).where(
        conversion.c.origin == origin, conversion.c.rule_revision != rule_revision
    )
    return int(connection.execute(query).scalar_one())
