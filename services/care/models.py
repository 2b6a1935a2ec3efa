"""The tables of care."""

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

# As texts, so that the indexes below serve queries with the same words whatever plan PostgreSQL keeps.
ACTIVE_SQL = "state IN ('new', 'open', 'waiting')"
RESOLVED_SQL = "state = 'resolved'"


def _id(name: str, **options: Any) -> Column[Any]:
    return Column(name, pg.UUID(as_uuid=True), **options)


def _key(name: str = "id", **options: Any) -> Column[Any]:
    return Column(name, sa.Text(collation="C"), **options)


def _time(name: str, *, nullable: bool = False) -> Column[Any]:
    return Column(name, sa.DateTime(timezone=True), nullable=nullable)


def _text(name: str) -> Column[Any]:
    return Column(name, sa.Text, nullable=False, server_default="")


calendar = Table(
    "calendar",
    metadata,
    _key(primary_key=True),
    Column("time_zone", sa.Text, nullable=False),
    Column("weekly", pg.JSONB, nullable=False, comment="{week day: [[start minute, end minute], …]}"),
    Column("special", pg.JSONB, nullable=False, comment="{ISO date: {label, hours: [[start, end], …]}}"),
    _time("create_time"),
)

agent = Table(
    "agent",
    metadata,
    _key(primary_key=True),
    _text("display_name"),
    Column("available", sa.Boolean, nullable=False),
    Column("capacity", sa.Integer, nullable=False, comment="open cases at the most; 0 for no limit"),
    _time("create_time"),
)

queue = Table(
    "queue",
    metadata,
    _key(primary_key=True),
    _text("display_name"),
    Column("calendar_id", sa.Text(collation="C"), sa.ForeignKey(calendar.c.id)),
    Column(
        "agents", pg.ARRAY(sa.Text(collation="C")), nullable=False, comment="in the order of the round robin"
    ),
    Column(
        "targets", pg.JSONB, nullable=False, comment="{priority: [first response, resolution]} in minutes"
    ),
    Column("default_queue", sa.Boolean, nullable=False),
    _text("reply_channel"),
    Column("last_agent", sa.Text(collation="C"), comment="whom the round robin chose last"),
    _time("create_time"),
    sa.Index("ix_queue_default", "default_queue", unique=True, postgresql_where=sa.text("default_queue")),
)

case = Table(
    "case",
    metadata,
    _id("id", primary_key=True),
    Column("number", sa.BigInteger, sa.Identity(always=True), nullable=False, unique=True),
    _id("contact_id"),
    _text("address"),
    Column("verified", sa.Boolean, nullable=False),
    _text("subject"),
    _text("channel"),
    Column("queue_id", sa.Text(collation="C"), sa.ForeignKey(queue.c.id), nullable=False),
    Column("assignee", sa.Text(collation="C"), sa.ForeignKey(agent.c.id)),
    _text("assignment_reason"),
    _text("priority"),
    Column("state", sa.Text, nullable=False),
    _id("origin_message", comment="the message of campaign that the case answers"),
    _time("first_response_due", nullable=True),
    _time("first_response_time", nullable=True),
    _time("resolution_due", nullable=True),
    _time("resolve_time", nullable=True),
    Column("first_response_breached", sa.Boolean, nullable=False, server_default=sa.false()),
    Column("resolution_breached", sa.Boolean, nullable=False, server_default=sa.false()),
    Column("csat_score", sa.SmallInteger),
    _text("csat_comment"),
    _time("csat_time", nullable=True),
    Column("revision", sa.BigInteger, nullable=False),
    _time("create_time"),
    _time("update_time"),
    sa.Index("ix_case_contact_id", "contact_id", "create_time", "id"),
    sa.Index("ix_case_create_time", "create_time", "id"),
    sa.Index("ix_case_state", "state", "create_time", "id"),
    sa.Index("ix_case_assignee", "assignee", "create_time", "id"),
    sa.Index("ix_case_load", "assignee", postgresql_where=sa.text(ACTIVE_SQL)),
    sa.Index(
        "ix_case_unassigned",
        "queue_id",
        "number",
        postgresql_where=sa.text(f"assignee IS NULL AND {ACTIVE_SQL}"),
    ),
    sa.Index(
        "ix_case_first_response_due",
        "first_response_due",
        postgresql_where=sa.text(
            f"first_response_time IS NULL AND NOT first_response_breached AND {ACTIVE_SQL}"
        ),
    ),
    sa.Index(
        "ix_case_resolution_due",
        "resolution_due",
        postgresql_where=sa.text(f"resolve_time IS NULL AND NOT resolution_breached AND {ACTIVE_SQL}"),
    ),
    sa.Index("ix_case_resolve_time", "resolve_time", postgresql_where=sa.text(RESOLVED_SQL)),
    sa.Index("ix_case_origin_message", "origin_message"),
)

case_message = Table(
    "case_message",
    metadata,
    _id("id", primary_key=True),
    _id("case_id", nullable=False),
    Column("kind", sa.Text, nullable=False),
    _text("text"),
    _text("author"),
    _text("external_id"),
    _time("create_time"),
    sa.ForeignKeyConstraint(["case_id"], ["case.id"]),
    sa.Index("ix_case_message_case_id", "case_id", "create_time", "id"),
)

task = Table(
    "task",
    metadata,
    _id("id", primary_key=True),
    _text("title"),
    _text("text"),
    _id("contact_id"),
    _id("case_id"),
    Column("queue_id", sa.Text(collation="C"), sa.ForeignKey(queue.c.id), nullable=False),
    Column("assignee", sa.Text(collation="C"), sa.ForeignKey(agent.c.id)),
    _text("priority"),
    _time("due_time", nullable=True),
    Column("state", sa.Text, nullable=False, comment="open, done, dropped"),
    Column("overdue", sa.Boolean, nullable=False, comment="task.overdue was told for the due time"),
    _time("end_time", nullable=True),
    _text("source"),
    Column("revision", sa.BigInteger, nullable=False),
    _time("create_time"),
    _time("update_time"),
    sa.ForeignKeyConstraint(["case_id"], ["case.id"]),
    sa.Index("ix_task_contact_id", "contact_id"),
    sa.Index("ix_task_case_id", "case_id"),
    sa.Index("ix_task_due", sa.text("coalesce(due_time, 'infinity')"), "id"),
    sa.Index("ix_task_assignee", "assignee", sa.text("coalesce(due_time, 'infinity')"), "id"),
    sa.Index("ix_task_queue", "queue_id", sa.text("coalesce(due_time, 'infinity')"), "id"),
    sa.Index("ix_task_overdue", "due_time", postgresql_where=sa.text("state = 'open' AND NOT overdue")),
)

received_mail = Table(
    "received_mail",
    metadata,
    Column("mail_key", sa.Text(collation="C"), primary_key=True, comment="Message-ID, or a hash of the mail"),
    Column(
        "recipient",
        sa.Text(collation="C"),
        primary_key=True,
        comment="the signed address; empty for those that are open to all",
    ),
    Column("outcome", sa.Text, nullable=False),
    _id("case_id"),
    _time("create_time"),
)

automatic_mail = Table(
    "automatic_mail",
    metadata,
    _id("id", primary_key=True),
    _text("message_id"),
    _text("recipient"),
    _text("reason"),
    _text("subject"),
    _text("text"),
    _time("create_time"),
)
