"""Who just unsubscribed, so that senders heed it before contacts has it."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make the change."""
    op.create_table(
        "opt_out",
        sa.Column("contact_id", postgresql.UUID(as_uuid=True), nullable=False),
        sa.Column("kind", sa.Text(collation="C"), nullable=False, comment="of address"),
        sa.Column("topic", sa.Text(collation="C"), nullable=False),
        sa.Column("time", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("contact_id", "kind", "topic", name=op.f("pk_opt_out")),
        comment="wishes to be left alone that contacts may not know yet; kept for an hour",
    )
    op.create_index("ix_opt_out_time", "opt_out", ["time"])


def downgrade() -> None:
    """Take the change back."""
    op.drop_table("opt_out")
