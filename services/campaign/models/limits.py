"""Tables: send policies, what was sent to whom lately, rate limits and their buckets, and the senders' circuits."""

from __future__ import annotations

import sqlalchemy as sa
from sqlalchemy import Column, Table
from sqlalchemy.dialects import postgresql as pg

from services.campaign.models.base import exact_, id_, metadata, text_, time_

send_policy = Table(
    "send_policy",
    metadata,
    exact_("id", primary_key=True),
    exact_("channel", comment="empty for all"),
    exact_("topic", comment="empty for all"),
    Column("quiet_hours", pg.JSONB, nullable=False, comment="list of start, end (minutes), days"),
    Column("send_windows", pg.JSONB, nullable=False, comment="list of start, end (minutes), days"),
    Column("caps", pg.JSONB, nullable=False, comment="list of count, seconds, of_channel, of_topic"),
    Column("transactional", sa.Boolean, nullable=False, comment="it holds for transactional messages too"),
    Column("defer", sa.Boolean, nullable=False, comment="what is over a cap waits, and is not suppressed"),
    Column("revision", sa.BigInteger, nullable=False),
    time_("create_time"),
    time_("update_time"),
    sa.UniqueConstraint("channel", "topic"),
)

recent_send = Table(
    "recent_send",
    metadata,
    id_("contact_id", primary_key=True),
    id_("message_id", primary_key=True),
    exact_("channel"),
    exact_("topic"),
    time_("time"),
    # Rows come in the order of time, so this costs next to nothing and finds the old ones.
    sa.Index("ix_recent_send_time", "time", postgresql_using="brin"),
    comment="places taken under frequency caps; kept as long as the longest period of a cap",
)

rate_limit = Table(
    "rate_limit",
    metadata,
    exact_("id", primary_key=True),
    Column("channels", pg.ARRAY(sa.Text), nullable=False, comment="which share the limit"),
    exact_("domain", comment="empty for all recipients, * for each domain by itself, or one"),
    Column("count", sa.Integer, nullable=False),
    Column("period", sa.Interval, nullable=False),
    Column("burst", sa.Integer, nullable=False),
    Column("revision", sa.BigInteger, nullable=False),
    time_("create_time"),
    time_("update_time"),
)

rate_bucket = Table(
    "rate_bucket",
    metadata,
    exact_("key", primary_key=True, comment="id of the limit, and :domain when each has its own"),
    Column("gap", sa.Double, nullable=False, comment="seconds between two places"),
    Column("burst", sa.Integer, nullable=False),
    Column("asked", sa.Integer, nullable=False, comment="of the last question"),
    Column("granted", sa.Integer, nullable=False, comment="of the last question"),
    time_("ask_time"),
    time_("tat"),
    comment="tat: theoretical arrival time of the next message (GCRA), by the database's real clock",
)

circuit = Table(
    "circuit",
    metadata,
    id_("sender_id", primary_key=True),
    exact_("channel", primary_key=True),
    exact_("domain", primary_key=True, comment="empty for the channel as a whole"),
    text_("state", comment="closed, open, half_open"),
    Column("failures", sa.Integer, nullable=False, comment="in a row"),
    Column("retry_seconds", sa.Double, nullable=False, comment="until the next probe, when it was written"),
    text_("problem"),
    Column("sent_count", sa.BigInteger, nullable=False, comment="messages accepted since the sender began"),
    Column("seconds_per_message", sa.Double, nullable=False, comment="0 when not known"),
    time_("update_time"),
    comment="circuit breakers as the living senders last told",
)
