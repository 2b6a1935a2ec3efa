"""Send policies, frequency caps, rate limits and circuits."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make the change."""
    op.create_table(
        "send_policy",
        sa.Column("id", sa.Text(collation="C"), nullable=False),
        sa.Column("channel", sa.Text(collation="C"), nullable=False, comment="empty for all"),
        sa.Column("topic", sa.Text(collation="C"), nullable=False, comment="empty for all"),
        sa.Column(
            "quiet_hours", postgresql.JSONB(), nullable=False, comment="list of start, end (minutes), days"
        ),
        sa.Column(
            "send_windows", postgresql.JSONB(), nullable=False, comment="list of start, end (minutes), days"
        ),
        sa.Column(
            "caps", postgresql.JSONB(), nullable=False, comment="list of count, seconds, of_channel, of_topic"
        ),
        sa.Column(
            "transactional", sa.Boolean(), nullable=False, comment="it holds for transactional messages too"
        ),
        sa.Column(
            "defer", sa.Boolean(), nullable=False, comment="what is over a cap waits, and is not suppressed"
        ),
        sa.Column("revision", sa.BigInteger(), nullable=False),
        sa.Column("create_time", sa.DateTime(timezone=True), nullable=False),
        sa.Column("update_time", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_send_policy")),
        sa.UniqueConstraint("channel", "topic", name=op.f("uq_send_policy_channel_topic")),
    )
    op.create_table(
        "recent_send",
        sa.Column("contact_id", sa.UUID(), nullable=False),
        sa.Column("message_id", sa.UUID(), nullable=False),
        sa.Column("channel", sa.Text(collation="C"), nullable=False),
        sa.Column("topic", sa.Text(collation="C"), nullable=False),
        sa.Column("time", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("contact_id", "message_id", name=op.f("pk_recent_send")),
        comment="places taken under frequency caps; kept as long as the longest period of a cap",
    )
    op.create_index("ix_recent_send_time", "recent_send", ["time"], unique=False, postgresql_using="brin")
    op.create_table(
        "rate_limit",
        sa.Column("id", sa.Text(collation="C"), nullable=False),
        sa.Column("channels", postgresql.ARRAY(sa.Text()), nullable=False, comment="which share the limit"),
        sa.Column(
            "domain",
            sa.Text(collation="C"),
            nullable=False,
            comment="empty for all recipients, * for each domain by itself, or one",
        ),
        sa.Column("count", sa.Integer(), nullable=False),
        sa.Column("period", sa.Interval(), nullable=False),
        sa.Column("burst", sa.Integer(), nullable=False),
        sa.Column("revision", sa.BigInteger(), nullable=False),
        sa.Column("create_time", sa.DateTime(timezone=True), nullable=False),
        sa.Column("update_time", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_rate_limit")),
    )
    op.create_table(
        "rate_bucket",
        sa.Column(
            "key",
            sa.Text(collation="C"),
            nullable=False,
            comment="id of the limit, and :domain when each has its own",
        ),
        sa.Column("gap", sa.Double(), nullable=False, comment="seconds between two places"),
        sa.Column("burst", sa.Integer(), nullable=False),
        sa.Column("asked", sa.Integer(), nullable=False, comment="of the last question"),
        sa.Column("granted", sa.Integer(), nullable=False, comment="of the last question"),
        sa.Column("ask_time", sa.DateTime(timezone=True), nullable=False),
        sa.Column("tat", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("key", name=op.f("pk_rate_bucket")),
        comment="tat: theoretical arrival time of the next message (GCRA), by the database's real clock",
    )
    op.create_table(
        "circuit",
        sa.Column("sender_id", sa.UUID(), nullable=False),
        sa.Column("channel", sa.Text(collation="C"), nullable=False),
        sa.Column(
            "domain", sa.Text(collation="C"), nullable=False, comment="empty for the channel as a whole"
        ),
        sa.Column("state", sa.Text(), nullable=False, comment="closed, open, half_open"),
        sa.Column("failures", sa.Integer(), nullable=False, comment="in a row"),
        sa.Column(
            "retry_seconds", sa.Double(), nullable=False, comment="until the next probe, when it was written"
        ),
        sa.Column("problem", sa.Text(), nullable=False),
        sa.Column(
            "sent_count", sa.BigInteger(), nullable=False, comment="messages accepted since the sender began"
        ),
        sa.Column("seconds_per_message", sa.Double(), nullable=False, comment="0 when not known"),
        sa.Column("update_time", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("sender_id", "channel", "domain", name=op.f("pk_circuit")),
        comment="circuit breakers as the living senders last told",
    )
    op.create_index(
        "ix_message_waiting",
        "message",
        ["origin", "reason"],
        unique=False,
        postgresql_where=sa.text("state = 'planned' AND reason <> ''"),
    )


def downgrade() -> None:
    """Take the change back."""
    op.drop_index(
        "ix_message_waiting",
        table_name="message",
        postgresql_where=sa.text("state = 'planned' AND reason <> ''"),
    )
    for table in ("circuit", "rate_bucket", "rate_limit", "recent_send", "send_policy"):
        op.drop_table(table)
