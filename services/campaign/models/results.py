"""Tables: orders as campaign knows them, what of them is attributed to messages by which rule, and costs."""

from __future__ import annotations

import sqlalchemy as sa
from sqlalchemy import Column, Table

from services.campaign.models.base import exact_, id_, metadata, time_

AMOUNT = sa.Numeric(38, 9)

sale = Table(
    "sale",
    metadata,
    id_("id", primary_key=True, comment="of the order or return"),
    id_("contact_id", comment="NULL when unknown or erased"),
    exact_("kind", comment="order or return"),
    id_("order_id", comment="of a return: the order that the goods are from"),
    Column("amount", AMOUNT, nullable=False, comment="positive for returns, too"),
    exact_("currency"),
    exact_("coupon_key", comment="key of the coupon that was shown; empty for none"),
    time_("time"),
    sa.Index("ix_sale_contact_id", "contact_id", "time", postgresql_where=sa.text("kind = 'order'")),
    sa.Index("ix_sale_order_id", "order_id", postgresql_where=sa.text("kind = 'return'")),
)

conversion = Table(
    "conversion",
    metadata,
    id_("contact_id", primary_key=True, comment="who ordered; all zeros when unknown or erased"),
    id_("sale_id", primary_key=True, comment="the order or return"),
    id_("message_id", primary_key=True),
    id_("order_id", nullable=False, comment="the order itself, also of a return"),
    exact_("origin"),
    exact_("channel"),
    Column("amount", AMOUNT, nullable=False, comment="its part of the order; negative of a return"),
    exact_("currency"),
    Column("rule_revision", sa.BigInteger, nullable=False),
    sa.Index("ix_conversion_origin", "origin"),
    sa.Index("ix_conversion_order_id", "order_id"),
)

attribution_rule = Table(
    "attribution_rule",
    metadata,
    Column("id", sa.Boolean, primary_key=True, server_default=sa.true(), comment="there is one row"),
    exact_("model"),
    Column("window", sa.Interval, nullable=False),
    Column("include_transactional", sa.Boolean, nullable=False),
    Column("revision", sa.BigInteger, nullable=False),
    exact_("touch", server_default="sent", comment="what counts of a message: sent, open, click"),
    sa.CheckConstraint("id", name="one_row"),
)

budget = Table(
    "budget",
    metadata,
    exact_("origin", primary_key=True),
    Column("amount", AMOUNT, nullable=False),
    exact_("currency"),
)

channel_cost_history = Table(
    "channel_cost_history",
    metadata,
    exact_("channel", primary_key=True),
    Column("amount", AMOUNT, nullable=False, comment="of one message; 0: nothing from then on"),
    exact_("currency"),
    Column(
        "start_time",
        sa.DateTime(timezone=True),
        primary_key=True,
        server_default=sa.text("'1970-01-01 00:00:00+00'"),
        comment="of the messages that were sent since, until the next one",
    ),
)
