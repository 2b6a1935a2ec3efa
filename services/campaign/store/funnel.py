"""Queries on what became of the messages of an origin, and what orders are attributed to them."""

from __future__ import annotations

import sqlalchemy as sa
from sqlalchemy import Connection

from services.campaign.domain.delivery import BOUNCED, COMPLAINED, SOFT_BOUNCED
from services.campaign.domain.funnel import CameBack, Earned, Stood
from services.campaign.domain.ids import TRANSACTIONAL
from services.campaign.domain.interactions import CLICK, HUMAN, OPEN, PENDING, SCANNER, UNSUBSCRIBE
from services.campaign.domain.ledger import SENT, SUPPRESSED
from services.campaign.models import campaign, conversion, delivery_report, interaction, journey, message

# Each order counts once for a channel, and once for all of them.
_EARNED = sa.text("""
SELECT channel, currency, count(DISTINCT order_id) FILTER (WHERE sale_id = order_id) AS orders,
    coalesce(sum(amount) FILTER (WHERE sale_id = order_id), 0) AS gross,
    coalesce(-sum(amount) FILTER (WHERE sale_id <> order_id), 0) AS returned
FROM conversion WHERE origin = :origin GROUP BY GROUPING SETS ((channel, currency), (currency))
""")


def exists(connection: Connection, origin: str, *, lock: bool = False) -> bool:
    """Tell whether there is a campaign or journey of that name; lock: its row until the transaction ends."""
    collection, _, key = origin.partition("/")
    table = {"campaigns": campaign, "journeys": journey}.get(collection)
    if table is None:
        return False
    query = sa.select(table.c.id).where(table.c.id == key)
    return connection.execute(query.with_for_update() if lock else query).first() is not None


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


def topics(connection: Connection, origin: str) -> list[str]:
    """Return the topics that matter of an origin's messages: "transactional", and one that stands for all others."""
    found = []
    for topic, same in (
        (TRANSACTIONAL, message.c.topic == TRANSACTIONAL),
        ("", message.c.topic != TRANSACTIONAL),
    ):
        if connection.execute(
            sa.select(message.c.id).where(message.c.origin == origin, same).limit(1)
        ).first():
            found.append(topic)
    return found


def came_back(connection: Connection, origin: str) -> CameBack:
    """Return what came back of the sent messages of an origin."""
    reports = (
        sa.select(delivery_report.c.kind, sa.func.count())
        .join(message, message.c.id == delivery_report.c.message_id)
        .where(delivery_report.c.origin == origin, message.c.state == SENT)
        .group_by(delivery_report.c.kind)
    )
    told = {row[0]: row[1] for row in connection.execute(reports)}
    kind, verdict, key = interaction.c.kind, interaction.c.verdict, interaction.c.message_id
    read = kind.in_((OPEN, CLICK))
    row = connection.execute(
        sa.select(
            sa.func.count(key.distinct()).filter(verdict == HUMAN, read).label("opened"),
            sa.func.count(key.distinct()).filter(verdict == HUMAN, kind == CLICK).label("clicked"),
            sa.func.count(key.distinct()).filter(kind == UNSUBSCRIBE).label("unsubscribed"),
            sa.func.count().filter(verdict == SCANNER, read).label("scanner"),
            sa.func.count().filter(verdict == PENDING, read).label("pending"),
        )
        .join(message, message.c.id == key)
        .where(interaction.c.origin == origin, message.c.state == SENT)
    ).one()
    return CameBack(
        bounced=told.get(BOUNCED, 0),
        soft_bounced=told.get(SOFT_BOUNCED, 0),
        complained=told.get(COMPLAINED, 0),
        **row._mapping,
    )


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
