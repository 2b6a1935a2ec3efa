"""Tables: journeys, their versions, who is on them, where they went and what was done for them."""

from __future__ import annotations

import sqlalchemy as sa
from sqlalchemy import Column, Table
from sqlalchemy.dialects import postgresql as pg

from services.campaign.models.base import exact_, id_, metadata, text_, time_

_NOTHING = sa.text("''")

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
    Column("version", sa.Integer, nullable=False, server_default="1", comment="the newest"),
    Column(
        "definition", pg.JSONB, nullable=False, server_default="{}", comment="trigger, steps, exits, goals"
    ),
    time_("fired_time", nullable=True),
    exact_("state", server_default="running", comment="running, paused, cancelled"),
    text_("cancel_reason", server_default=_NOTHING),
    sa.Index("ix_journey_trigger", "event_type", postgresql_where=sa.text("active")),
)

journey_version = Table(
    "journey_version",
    metadata,
    exact_("journey_id", primary_key=True),
    Column("version", sa.Integer, primary_key=True, autoincrement=False),
    Column("definition", pg.JSONB, nullable=False),
    time_("create_time"),
    sa.ForeignKeyConstraint(["journey_id"], ["journey.id"]),
    comment="never changed: entries follow the version that they started on until they are migrated",
)

journey_pause = Table(
    "journey_pause",
    metadata,
    exact_("journey_id", primary_key=True),
    time_("pause_time", primary_key=True),
    time_("resume_time", nullable=True),
    sa.ForeignKeyConstraint(["journey_id"], ["journey.id"]),
    comment="when nobody moved on journeys; resume_time NULL: still so",
)

journey_listen = Table(
    "journey_listen",
    metadata,
    exact_("event_type", primary_key=True),
    exact_("journey_id", primary_key=True),
    Column("version", sa.Integer, primary_key=True, autoincrement=False),
    exact_("segment", primary_key=True, comment="empty for events that are no memberships"),
    sa.ForeignKeyConstraint(
        ["journey_id", "version"], ["journey_version.journey_id", "journey_version.version"]
    ),
    comment="the events that entries of a version have to hear of: waits, exits and goals",
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
    Column("step", sa.Integer, nullable=False, comment="how many steps it has taken"),
    time_("start_time"),
    time_("due_time"),
    time_("finish_time", nullable=True),
    Column("version", sa.Integer, nullable=False, server_default="1"),
    exact_("step_id", server_default=_NOTHING, comment="empty: the step at position `step`"),
    time_("arrive_time", nullable=True),
    Column(
        "signalled", sa.Boolean, nullable=False, server_default=sa.false(), comment="it has journey_signals"
    ),
    exact_(
        "outcome",
        server_default=_NOTHING,
        comment="finished, exited, goal, limit, merged, erased, cancelled, removed",
    ),
    text_("problem", server_default=_NOTHING, comment="why it does not move; empty when nothing is wrong"),
    text_("end_reason", server_default=_NOTHING, comment="why it was cancelled or removed"),
    sa.ForeignKeyConstraint(["journey_id"], ["journey.id"]),
    sa.UniqueConstraint("journey_id", "event_id", "contact_id"),
    # By journey, so that one that is paused costs the others nothing, however many wait on it.
    sa.Index(
        "ix_journey_entry_open",
        "journey_id",
        "due_time",
        "id",
        postgresql_where=sa.text("finish_time IS NULL"),
    ),
    sa.Index("ix_journey_entry_contact_id", "contact_id"),
    sa.Index("ix_journey_entry_journey_id", "journey_id", postgresql_include=["finish_time"]),
)

journey_signal = Table(
    "journey_signal",
    metadata,
    id_("entry_id", primary_key=True),
    id_("event_id", primary_key=True),
    Column("types", pg.ARRAY(sa.Text), nullable=False),
    exact_("segment"),
    time_("time"),
    Column("event", pg.JSONB, nullable=False),
    comment="events noted for open entries, until a wait used them up or the entry ended",
)

journey_move = Table(
    "journey_move",
    metadata,
    id_("entry_id", primary_key=True),
    Column("step", sa.Integer, primary_key=True, autoincrement=False),
    exact_("journey_id"),
    Column("version", sa.Integer, nullable=False),
    exact_("step_id"),
    exact_("edge", comment="the way out: empty for the plain one"),
    exact_("next_id"),
    time_("arrive_time"),
    time_("leave_time"),
    sa.Index("ix_journey_move_flow", "journey_id", "version", "step_id", "edge"),
    comment="the steps that entries took",
)

journey_action = Table(
    "journey_action",
    metadata,
    id_("id", primary_key=True, comment="also the request id for the other service"),
    id_("entry_id", nullable=False),
    Column("step", sa.Integer, nullable=False),
    exact_("journey_id"),
    exact_("step_id"),
    id_("contact_id"),
    exact_("kind", comment="set_attribute, modify_tags, open_case, open_task"),
    Column("body", pg.JSONB, nullable=False),
    exact_("state", comment="planned, done, failed, cancelled"),
    Column("attempt_count", sa.Integer, nullable=False),
    time_("due_time"),
    time_("create_time"),
    time_("finish_time", nullable=True),
    text_("reason"),
    sa.UniqueConstraint("entry_id", "step"),
    sa.Index("ix_journey_action_due", "due_time", "id", postgresql_where=sa.text("state = 'planned'")),
    sa.Index("ix_journey_action_contact_id", "contact_id"),
    sa.Index("ix_journey_action_journey_id", "journey_id", postgresql_where=sa.text("state = 'planned'")),
    comment="what journeys bring about in other services: written with the move, done afterwards",
)

date_attribute = Table(
    "date_attribute",
    metadata,
    exact_("attribute", primary_key=True),
    text_("page_token", comment="of the next page of contacts to be read"),
    Column("filled", sa.Boolean, nullable=False, comment="all contacts were read"),
    time_("create_time"),
    comment="dates of contacts that start journeys, and how far they are known",
)

contact_date = Table(
    "contact_date",
    metadata,
    exact_("attribute", primary_key=True),
    id_("contact_id", primary_key=True),
    Column("value", sa.Date, comment="NULL: none"),
    Column("month_day", sa.SmallInteger, comment="100 × month + day"),
    exact_("time_zone", comment="IANA name, empty when it is not known"),
    Column("revision", sa.BigInteger, nullable=False, comment="of the contact; 0: read, not told"),
    sa.Index("ix_contact_date_yearly", "attribute", "month_day", "time_zone"),
    sa.Index("ix_contact_date_value", "attribute", "value", "time_zone"),
    sa.Index("ix_contact_date_contact_id", "contact_id"),
    sa.Index("ix_contact_date_time_zone", "time_zone"),
    comment="the dates of contacts that start journeys",
)
