"""Tables: campaigns."""

from __future__ import annotations

import sqlalchemy as sa
from sqlalchemy import Column, Table

from services.campaign.models.base import exact_, metadata, text_, time_

campaign = Table(
    "campaign",
    metadata,
    exact_("id", primary_key=True),
    text_("display_name"),
    exact_("segment"),
    exact_("template_id"),
    text_("channel"),
    text_("topic"),
    exact_("coupon_pool_id", comment="empty for none"),
    text_("state", comment="draft, planning, sending, paused, done, cancelled"),
    Column(
        "planned", sa.Boolean, nullable=False, server_default=sa.false(), comment="the audience is complete"
    ),
    time_("create_time"),
    time_("launch_time", nullable=True),
    Column(
        "evergreen",
        sa.Boolean,
        nullable=False,
        server_default=sa.false(),
        comment="who enters the segment after the launch gets it too",
    ),
    exact_(
        "series", server_default=sa.text("''"), comment="id of the recurring campaign that it is a run of"
    ),
    Column(
        "recipient_local",
        sa.DateTime(timezone=False),
        comment="when the recipients' clocks show it, the message is due; NULL: at once",
    ),
    exact_(
        "unknown_policy",
        server_default=sa.text("'hold'"),
        comment="hold or retry: what becomes of messages that may have been sent",
    ),
    sa.Index("ix_campaign_evergreen", "segment", postgresql_where=sa.text("evergreen")),
    sa.ForeignKeyConstraint(["template_id"], ["template.id"]),
)
