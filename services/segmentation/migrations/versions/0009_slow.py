"""Segments whose rules take too long for a batch of contacts."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make the change."""
    op.add_column(
        "segment",
        sa.Column(
            "slow",
            sa.Boolean(),
            nullable=False,
            server_default=sa.false(),
            comment="it stalls because its rule takes too long; a rebuild that succeeds ends that",
        ),
    )


def downgrade() -> None:
    """Take the change back; rules that take too long are tried with every batch again."""
    op.drop_column("segment", "slow")
