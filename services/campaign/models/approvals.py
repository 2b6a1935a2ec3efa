"""Tables: when campaigns need a second person's approval, and what was asked and decided."""

from __future__ import annotations

import sqlalchemy as sa
from sqlalchemy import Column, Table
from sqlalchemy.dialects import postgresql as pg

from services.campaign.models.base import exact_, id_, metadata, text_, time_

approval_policy = Table(
    "approval_policy",
    metadata,
    exact_("topic", primary_key=True, comment="empty: those without one of their own"),
    Column("always", sa.Boolean, nullable=False),
    Column("audience_above", sa.BigInteger),
    Column("budget_above", sa.Numeric(38, 9)),
    exact_("budget_currency"),
    Column("size_tolerance_percent", sa.Integer, nullable=False),
    time_("update_time"),
)

approval = Table(
    "approval",
    metadata,
    id_("id", primary_key=True),
    Column("campaign_id", sa.Text(collation="C"), comment="NULL: of a journey"),
    Column("journey_id", sa.Text(collation="C"), comment="NULL: of a campaign"),
    Column(
        "proposal",
        pg.JSONB(none_as_null=True),
        comment="a definition that is not stored yet; NULL: as it is stored",
    ),
    exact_("state", comment="requested, approved, rejected or withdrawn"),
    text_("requester"),
    text_("request_comment"),
    time_("request_time"),
    text_("decider"),
    text_("decision_comment"),
    time_("decide_time", nullable=True),
    Column("subject", pg.JSONB, nullable=False, comment="what is approved, by part"),
    exact_("fingerprint", comment="SHA-256 of the subject"),
    sa.ForeignKeyConstraint(["campaign_id"], ["campaign.id"]),
    sa.ForeignKeyConstraint(["journey_id"], ["journey.id"]),
    sa.CheckConstraint("num_nonnulls(campaign_id, journey_id) = 1", name="one_origin"),
    sa.Index("ix_approval_campaign_id", "campaign_id", "id"),
    sa.Index("ix_approval_journey_id", "journey_id", "id"),
    sa.Index(
        "uq_approval_open_journey",
        "journey_id",
        unique=True,
        postgresql_where=sa.text("state = 'requested'"),
    ),
    sa.Index("uq_approval_open", "campaign_id", unique=True, postgresql_where=sa.text("state = 'requested'")),
)
