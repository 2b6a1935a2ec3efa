"""Tables: journeys and who is in them."""

from __future__ import annotations

import sqlalchemy as sa
from sqlalchemy import Column, Table
from sqlalchemy.dialects import postgresql as pg

from services.campaign.models.base import exact_, id_, metadata, text_, time_

journey = Table(
    "journey",
    metadata,
    exact_("id", primary_key=True),
    text_("display_name"),
    exact_("event_type"),
    exact_("segment", comment="empty for any"),
    Column("reentry_after", sa.Interval, comment="NULL: never again"),
    Column("steps", pg.JSONB, nullable=False),
    Column("active", sa.Boolean, nullable=False),
    time_("activate_time", nullable=True),
    time_("create_time"),
    sa.Index("ix_journey_trigger", "event_type", postgresql_where=sa.text("active")),
)

journey_contact = Table(
    "journey_contact",
    metadata,
    id_("contact_id", primary_key=True),
    exact_("journey_id", primary_key=True),
    time_("start_time"),
    comment="the last start of a contact, whose row decides between events that come at once",
)

journey_entry = Table(
    "journey_entry",
    metadata,
    id_("id", primary_key=True),
    exact_("journey_id"),
    id_("contact_id", nullable=False),
    id_("event_id", nullable=False),
    Column("event", pg.JSONB, nullable=False, comment="what templates see of the event"),
    Column("step", sa.Integer, nullable=False, comment="index of the next step"),
    time_("start_time"),
    time_("due_time"),
    time_("finish_time", nullable=True),
    sa.ForeignKeyConstraint(["journey_id"], ["journey.id"]),
    sa.UniqueConstraint("journey_id", "event_id", "contact_id"),
    sa.Index("ix_journey_entry_due", "due_time", "id", postgresql_where=sa.text("finish_time IS NULL")),
    sa.Index("ix_journey_entry_contact_id", "contact_id"),
    sa.Index("ix_journey_entry_journey_id", "journey_id", postgresql_include=["finish_time"]),
)
