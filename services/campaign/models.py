"""The tables of campaign.

`message` is the ledger: each message to each recipient, from its planning to what became of it. Addresses are not kept
there, only a keyed hash; the content of a single message (`requests/…`) is kept until it is final.
"""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from sqlalchemy import Column, Table
from sqlalchemy.dialects import postgresql as pg

from services.kit.db import new_metadata
from services.kit.gone import gone_table
from services.kit.tables import kit_tables

metadata = new_metadata()
kit = kit_tables(metadata)
contact_gone = gone_table(metadata)


def _id(name: str, **options: Any) -> Column[Any]:
    return Column(name, pg.UUID(as_uuid=True), **options)


def _time(name: str, *, nullable: bool = False) -> Column[Any]:
    return Column(name, sa.DateTime(timezone=True), nullable=nullable)


def _text(name: str, **options: Any) -> Column[str]:
    return Column(name, sa.Text, nullable=False, **options)


def _exact(name: str, **options: Any) -> Column[str]:
    return Column(name, sa.Text(collation="C"), nullable=False, **options)


template = Table(
    "template",
    metadata,
    _exact("id", primary_key=True),
    _text("display_name"),
    Column("contents", pg.JSONB, nullable=False, comment="list of language_code, subject, text, html"),
    Column("revision", sa.BigInteger, nullable=False),
    _time("create_time"),
    _time("update_time"),
)

coupon_pool = Table(
    "coupon_pool",
    metadata,
    _exact("id", primary_key=True),
    _text("display_name"),
    _text("prefix"),
    _time("expire_time", nullable=True),
    Column("personal", sa.Boolean, nullable=False),
    _time("create_time"),
)

coupon = Table(
    "coupon",
    metadata,
    _exact("key", primary_key=True, comment="the code without what people mistake: case, dashes, O for 0"),
    _text("code"),
    _exact("pool_id"),
    _id("contact_id"),
    _id("message_id", nullable=False, unique=True),
    _time("issue_time"),
    _time("redeem_time", nullable=True),
    _id("order_id"),
    sa.ForeignKeyConstraint(["pool_id"], ["coupon_pool.id"]),
    sa.Index("ix_coupon_pool_id", "pool_id", postgresql_include=["redeem_time"]),
)

campaign = Table(
    "campaign",
    metadata,
    _exact("id", primary_key=True),
    _text("display_name"),
    _exact("segment"),
    _exact("template_id"),
    _text("channel"),
    _text("topic"),
    _exact("coupon_pool_id", comment="empty for none"),
    _text("state", comment="draft, planning, sending, paused, done, cancelled"),
    Column(
        "planned", sa.Boolean, nullable=False, server_default=sa.false(), comment="the audience is complete"
    ),
    _time("create_time"),
    _time("launch_time", nullable=True),
    sa.ForeignKeyConstraint(["template_id"], ["template.id"]),
)

journey = Table(
    "journey",
    metadata,
    _exact("id", primary_key=True),
    _text("display_name"),
    _exact("event_type"),
    _exact("segment", comment="empty for any"),
    Column("reentry_after", sa.Interval, comment="NULL: never again"),
    Column("steps", pg.JSONB, nullable=False),
    Column("active", sa.Boolean, nullable=False),
    _time("activate_time", nullable=True),
    _time("create_time"),
    sa.Index("ix_journey_trigger", "event_type", postgresql_where=sa.text("active")),
)

journey_contact = Table(
    "journey_contact",
    metadata,
    _id("contact_id", primary_key=True),
    _exact("journey_id", primary_key=True),
    _time("start_time"),
    comment="the last start of a contact, whose row decides between events that come at once",
)

journey_entry = Table(
    "journey_entry",
    metadata,
    _id("id", primary_key=True),
    _exact("journey_id"),
    _id("contact_id", nullable=False),
    _id("event_id", nullable=False),
    Column("event", pg.JSONB, nullable=False, comment="what templates see of the event"),
    Column("step", sa.Integer, nullable=False, comment="index of the next step"),
    _time("start_time"),
    _time("due_time"),
    _time("finish_time", nullable=True),
    sa.ForeignKeyConstraint(["journey_id"], ["journey.id"]),
    sa.UniqueConstraint("journey_id", "event_id", "contact_id"),
    sa.Index("ix_journey_entry_due", "due_time", "id", postgresql_where=sa.text("finish_time IS NULL")),
    sa.Index("ix_journey_entry_contact_id", "contact_id"),
    sa.Index("ix_journey_entry_journey_id", "journey_id", postgresql_include=["finish_time"]),
)

message = Table(
    "message",
    metadata,
    _id("id", primary_key=True),
    _exact("origin", comment="campaigns/…, journeys/… or requests/…"),
    _exact("lane", comment="what shares the senders fairly: the origin, or 'requests'"),
    _id("entry_id", nullable=False, comment="the journey's entry; all zeros when there is none"),
    Column("step", sa.Integer, nullable=False),
    _id("contact_id"),
    _exact("channel"),
    _exact("topic"),
    _exact("template_id", comment="empty for a message with content of its own"),
    _exact("coupon_pool_id", comment="empty for none"),
    _exact("state"),
    _text("reason"),
    _id("sender_id", comment="who has it in hand, or had it last"),
    Column("attempt_count", sa.Integer, nullable=False),
    _time("due_time"),
    _time("create_time"),
    _time("send_time", nullable=True),
    _text("coupon_code"),
    _text("subject"),
    Column("recipient_hash", sa.LargeBinary, comment="keyed hash of the address"),
    _text("provider_id"),
    Column("content", pg.JSONB(none_as_null=True), comment="of a single message, until it is final"),
    Column("content_hash", sa.LargeBinary, comment="of the request, so that a repetition is known"),
    sa.UniqueConstraint("origin", "entry_id", "step", "contact_id"),
    sa.Index(
        "uq_message_request", "origin", unique=True, postgresql_where=sa.text("content_hash IS NOT NULL")
    ),
    sa.Index("ix_message_origin_state", "origin", "state", "id"),
    sa.Index("ix_message_origin_id", "origin", "id"),
    sa.Index(
        "ix_message_due", "channel", "lane", "due_time", "id", postgresql_where=sa.text("state = 'planned'")
    ),
    sa.Index(
        "ix_message_in_hand",
        "sender_id",
        "state",
        postgresql_where=sa.text("state IN ('claimed', 'sending')"),
    ),
    sa.Index(
        "ix_message_sent",
        "origin",
        "entry_id",
        "step",
        "recipient_hash",
        postgresql_where=sa.text("state = 'sent'"),
    ),
    sa.Index("ix_message_contact_id", "contact_id", "id"),
)

suppression = Table(
    "suppression",
    metadata,
    _exact("kind", primary_key=True),
    _exact("address", primary_key=True, comment="in lower case"),
    _text("reason"),
    _time("create_time"),
)

channel = Table(
    "channel",
    metadata,
    _exact("name", primary_key=True),
    _text("address_kind"),
    Column("idempotent", sa.Boolean, nullable=False),
    _text("when_gone", comment="hold or fail"),
    comment="channels as the senders last saw them, so that they are known when their plugin is gone",
)
