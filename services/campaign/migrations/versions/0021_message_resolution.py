"""Who decided what became of messages in doubt."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0021"
down_revision = "0020"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make the change."""
    op.create_table(
        "message_resolution",
        sa.Column("id", postgresql.UUID(as_uuid=True), nullable=False),
        sa.Column(
            "origin",
            sa.Text(collation="C"),
            nullable=False,
            comment="campaigns/…, journeys/…, requests, or requests/… for a single message",
        ),
        sa.Column(
            "message_id",
            postgresql.UUID(as_uuid=True),
            nullable=True,
            comment="the only one; NULL: all in doubt that the other columns name",
        ),
        sa.Column("channel", sa.Text(collation="C"), nullable=False, comment="empty for all"),
        sa.Column("planned_before", sa.DateTime(timezone=True), nullable=True),
        sa.Column("resolution", sa.Text(collation="C"), nullable=False, comment="sent, failed or retry"),
        sa.Column("comment", sa.Text(), nullable=False),
        sa.Column("resolver", sa.Text(), nullable=False, comment="whose token decided"),
        sa.Column("resolve_time", sa.DateTime(timezone=True), nullable=False),
        sa.Column("message_count", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_message_resolution")),
        comment="who decided what became of messages in doubt; never changed",
    )
    op.create_index("ix_message_resolution_origin", "message_resolution", ["origin", "id"])


def downgrade() -> None:
    """Take the change back."""
    op.drop_table("message_resolution")
