"""Tables: when campaigns are launched by themselves."""

from __future__ import annotations

import sqlalchemy as sa
from sqlalchemy import Column, Table

from services.campaign.models.base import exact_, metadata, text_, time_

campaign_schedule = Table(
    "campaign_schedule",
    metadata,
    exact_("campaign_id", primary_key=True),
    Column("start", sa.DateTime(timezone=False), nullable=False, comment="as the zone's clocks show it"),
    exact_("time_zone"),
    exact_("recurrence", comment="RRULE of RFC 5545; empty: once"),
    Column("recipient_time", sa.Boolean, nullable=False, comment="at the recipients' own local time"),
    Column("catch_up", sa.Interval, nullable=False, comment="later than so much, an occurrence is skipped"),
    Column("next_local", sa.DateTime(timezone=False), comment="the next occurrence; NULL: none"),
    time_("next_time", nullable=True),
    Column("run_count", sa.Integer, nullable=False),
    exact_("last_run", comment="id of the run launched last; empty: none"),
    sa.ForeignKeyConstraint(["campaign_id"], ["campaign.id"]),
    sa.Index(
        "ix_campaign_schedule_next_time", "next_time", postgresql_where=sa.text("next_time IS NOT NULL")
    ),
    comment="the row is the claim: who has it locked launches the occurrence and moves on to the next",
)

campaign_occurrence = Table(
    "campaign_occurrence",
    metadata,
    exact_("campaign_id", primary_key=True),
    Column("local", sa.DateTime(timezone=False), primary_key=True),
    time_("time"),
    exact_("run", comment="id of the campaign that it became; empty: skipped"),
    text_("reason", comment="why it was skipped: PREVIOUS_RUNS, TOO_LATE; or why the launch was refused"),
    Column(
        "count", sa.Integer, nullable=False, comment="occurrences in a row that were skipped, this one first"
    ),
    sa.ForeignKeyConstraint(["campaign_id"], ["campaign.id"]),
)
