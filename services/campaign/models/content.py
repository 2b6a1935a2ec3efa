"""Tables: templates, their links, and coupons."""

from __future__ import annotations

import sqlalchemy as sa
from sqlalchemy import Column, Table
from sqlalchemy.dialects import postgresql as pg

from services.campaign.models.base import exact_, id_, metadata, text_, time_

template = Table(
    "template",
    metadata,
    exact_("id", primary_key=True),
    text_("display_name"),
    Column("contents", pg.JSONB, nullable=False, comment="list of language_code, subject, text, html, mjml"),
    Column("revision", sa.BigInteger, nullable=False),
    time_("create_time"),
    time_("update_time"),
)

link = Table(
    "link",
    metadata,
    exact_("template_id", primary_key=True),
    Column("number", sa.SmallInteger, primary_key=True, autoincrement=False),
    exact_("url"),
    comment="static links of templates, past ones too: messages that left name them by number",
)

link_settings = Table(
    "link_settings",
    metadata,
    exact_("origin", primary_key=True, comment="campaigns/… or journeys/…"),
    text_("utm_source"),
    text_("utm_medium"),
    text_("utm_campaign"),
    text_("utm_content"),
    Column("track_clicks", sa.Boolean, nullable=True, comment="NULL: as the topic has it"),
    Column("track_opens", sa.Boolean, nullable=True, comment="NULL: as the topic has it"),
    time_("update_time"),
    comment="how the links of a campaign's or journey's messages are counted",
)

coupon_pool = Table(
    "coupon_pool",
    metadata,
    exact_("id", primary_key=True),
    text_("display_name"),
    text_("prefix"),
    time_("expire_time", nullable=True),
    Column("personal", sa.Boolean, nullable=False),
    Column(
        "imported",
        sa.Boolean,
        nullable=False,
        server_default=sa.false(),
        comment="its codes were uploaded: it makes none of its own",
    ),
    time_("create_time"),
)

coupon_code = Table(
    "coupon_code",
    metadata,
    exact_("key", primary_key=True, comment="the code in capitals, without spaces and dashes"),
    text_("code"),
    exact_("pool_id"),
    id_("message_id", comment="the message that it is reserved for while that is made ready; NULL: free"),
    sa.ForeignKeyConstraint(["pool_id"], ["coupon_pool.id"]),
    sa.Index("ix_coupon_code_free", "pool_id", "key", postgresql_where=sa.text("message_id IS NULL")),
    sa.Index(
        "uq_coupon_code_message_id",
        "message_id",
        unique=True,
        postgresql_where=sa.text("message_id IS NOT NULL"),
    ),
    comment="uploaded codes that no message has carried yet",
)

coupon = Table(
    "coupon",
    metadata,
    exact_("key", primary_key=True, comment="the code without what people mistake: case, dashes, O for 0"),
    text_("code"),
    exact_("pool_id"),
    id_("contact_id"),
    id_("message_id", nullable=False, unique=True),
    time_("issue_time"),
    time_("redeem_time", nullable=True),
    id_("order_id"),
    sa.ForeignKeyConstraint(["pool_id"], ["coupon_pool.id"]),
    sa.Index("ix_coupon_pool_id", "pool_id", postgresql_include=["redeem_time"]),
)
