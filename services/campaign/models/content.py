"""Tables: templates and coupons."""

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
    Column("contents", pg.JSONB, nullable=False, comment="list of language_code, subject, text, html"),
    Column("revision", sa.BigInteger, nullable=False),
    time_("create_time"),
    time_("update_time"),
)

coupon_pool = Table(
    "coupon_pool",
    metadata,
    exact_("id", primary_key=True),
    text_("display_name"),
    text_("prefix"),
    time_("expire_time", nullable=True),
    Column("personal", sa.Boolean, nullable=False),
    time_("create_time"),
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
