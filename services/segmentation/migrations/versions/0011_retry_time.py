"""Rebuilds that failed for a plugin and are tried again."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make the change."""
    op.add_column(
        "segment",
        sa.Column(
            "failing_since",
            sa.DateTime(timezone=True),
            nullable=True,
            comment="since when plugins let its rebuilds fail",
        ),
    )
    op.add_column(
        "segment",
        sa.Column(
            "retry_time",
            sa.DateTime(timezone=True),
            nullable=True,
            comment="when a rebuild that failed for a plugin is tried again",
        ),
    )


def downgrade() -> None:
    """Take the change back; somebody has to rebuild what failed."""
    op.drop_column("segment", "retry_time")
    op.drop_column("segment", "failing_since")
