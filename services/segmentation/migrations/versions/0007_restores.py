"""Timelines of the stream that a restore ended."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0007"
down_revision = "0006"
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


def downgrade() -> None:
    """Take the change back."""
    op.drop_table("past_timeline")
