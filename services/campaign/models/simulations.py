"""Tables: simulations, and what would have become of whom in them.

They are apart from the ledger and all that counts, and nothing but simulations reads or writes them.
"""

from __future__ import annotations

from uuid import UUID

import sqlalchemy as sa
from sqlalchemy import Column, Table
from sqlalchemy.dialects import postgresql as pg

from services.campaign.models.base import exact_, id_, metadata, text_, time_

simulation = Table(
    "simulation",
    metadata,
    id_("id", primary_key=True, comment="of its operation"),
    exact_("origin", comment="campaigns/… or journeys/…; empty for one that is not stored"),
    time_("start_time", comment="of the launch, or the beginning of the period"),
    time_("end_time", nullable=True, comment="of the period, or after which nothing is looked at"),
    time_("create_time"),
    Column("kinds", pg.JSONB, nullable=False, comment="of addresses, by channel, as the plugins have them"),
    Column("summary", pg.JSONB(none_as_null=True), comment="NULL while it runs and when it failed"),
    sa.Index("ix_simulation_create_time", "create_time"),
)


def _of() -> Column[UUID]:
    return id_("simulation_id", primary_key=True)


def _number() -> Column[int]:
    return Column("number", sa.BigInteger, primary_key=True, autoincrement=False)


simulated_message = Table(
    "simulated_message",
    metadata,
    _of(),
    _number(),
    id_("contact_id", nullable=False),
    exact_("channel"),
    exact_("topic"),
    exact_("template_id", comment="empty for a webhook"),
    exact_("coupon_pool_id", comment="empty for none"),
    exact_("variant", comment="empty for none"),
    exact_("step_id", comment="of the journey; empty for a campaign"),
    time_("plan_time", comment="when it would be due"),
    time_("due_time", comment="when it is looked at next"),
    exact_("decision", comment="open, send, refuse or wait"),
    text_("reason"),
    text_("deferral", comment="the last reason for which it would have waited"),
    exact_("deferrals", comment="the first words of all of them, separated by commas"),
    time_("send_time", nullable=True),
    Column("rate_seconds", sa.Double, nullable=False, comment="for which rate limits would hold it up"),
    exact_("zone", comment="of the contact, once it was asked for"),
    exact_("domain", comment="of the address, once it was asked for"),
    Column(
        "asked", sa.Boolean, nullable=False, comment="the contact may be written to by all that does not pass"
    ),
    sa.Index(
        "ix_simulated_message_open",
        "simulation_id",
        "channel",
        "due_time",
        "number",
        postgresql_where=sa.text("decision = 'open'"),
    ),
    sa.Index("ix_simulated_message_contact_id", "contact_id", "simulation_id"),
    sa.Index("ix_simulated_message_plan_time", "simulation_id", "plan_time", "number"),
)

simulated_entry = Table(
    "simulated_entry",
    metadata,
    _of(),
    _number(),
    id_("contact_id", nullable=False),
    exact_("event_type"),
    time_("start_time"),
    exact_("step_id"),
    Column("step", sa.Integer, nullable=False, comment="how many it has taken"),
    time_("due_time"),
    time_("finish_time", nullable=True),
    exact_("outcome", comment="empty while it is on its way"),
    Column("path", pg.JSONB, nullable=False, comment="list of step, edge, next, arrive, leave"),
    sa.Index("ix_simulated_entry_contact_id", "contact_id"),
)

simulated_event = Table(
    "simulated_event",
    metadata,
    _of(),
    _number(),
    id_("contact_id", nullable=False),
    id_("event_id", nullable=False),
    Column("types", pg.ARRAY(sa.Text), nullable=False),
    exact_("segment"),
    time_("time", comment="when it was recorded"),
    Column("event", pg.JSONB, nullable=False),
    Column("starts", sa.Boolean, nullable=False, comment="it may start the journey"),
    sa.Index("ix_simulated_event_contact_id", "contact_id", "simulation_id"),
    sa.Index("ix_simulated_event_order", "simulation_id", "contact_id", "time", "number"),
    comment="what happened to contacts, while a journey is simulated",
)
