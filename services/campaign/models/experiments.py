"""Tables: experiments, and the global hold-out. Who is in which group stands in the ledger."""

from __future__ import annotations

import sqlalchemy as sa
from sqlalchemy import Column, Table
from sqlalchemy.dialects import postgresql as pg

from services.campaign.models.base import exact_, metadata, text_, time_

experiment = Table(
    "experiment",
    metadata,
    exact_("campaign_id", primary_key=True),
    Column("variants", pg.JSONB, nullable=False),
    Column("hold_out_percent", sa.Double, nullable=False),
    Column("test_percent", sa.Double, nullable=False),
    Column("duration", sa.Interval, nullable=False),
    Column("window", sa.Interval, nullable=False),
    exact_("metric"),
    Column("alpha", sa.Double, nullable=False),
    Column("by_hand", sa.Boolean, nullable=False),
    Column("baseline_rate", sa.Double, nullable=False, server_default="0", comment="0: no size was planned"),
    Column("minimal_effect", sa.Double, nullable=False, server_default="0"),
    Column("power", sa.Double, nullable=False, server_default="0"),
    exact_("state", comment="draft, running, releasing or decided"),
    time_("end_time", nullable=True),
    exact_("winner"),
    text_("decision"),
    time_("decide_time", nullable=True),
    sa.ForeignKeyConstraint(["campaign_id"], ["campaign.id"]),
    sa.Index(
        "ix_experiment_open",
        "state",
        "end_time",
        postgresql_where=sa.text("state IN ('running', 'releasing')"),
    ),
)

hold_out = Table(
    "hold_out",
    metadata,
    Column("id", sa.Boolean, primary_key=True, server_default=sa.true(), comment="there is one row"),
    Column("percent", sa.Double, nullable=False),
    Column("period_days", sa.Integer, nullable=False, comment="0: the same contacts for ever"),
    exact_("salt", comment="makes the choice unlike any other"),
    time_("start_time"),
    time_("change_time", nullable=True, comment="since when the share is as it is; NULL: not known"),
    sa.CheckConstraint("id", name="one_row"),
)
