"""Timelines of the stream that a restore ended, and sending that is held after one."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0017"
down_revision = "0014"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make the change."""
    op.create_table(
        "past_timeline",
        sa.Column("timeline", postgresql.UUID(as_uuid=True), nullable=False),
        sa.Column(
            "end_position",
            sa.BigInteger(),
            nullable=False,
            comment="what it gave out beyond is no longer true",
        ),
        sa.Column("end_time", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("timeline", name=op.f("pk_past_timeline")),
        comment="timelines of the stream that a restore from a backup ended",
    )
    op.create_table(
        "sending_hold",
        sa.Column("id", sa.SmallInteger(), autoincrement=False, nullable=False, comment="always 1"),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("create_time", sa.DateTime(timezone=True), nullable=False),
        sa.CheckConstraint("id = 1", name=op.f("ck_sending_hold_single")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_sending_hold")),
        comment="while there is a row, senders take no message",
    )


def downgrade() -> None:
    """Take the change back."""
    op.drop_table("sending_hold")
    op.drop_table("past_timeline")
