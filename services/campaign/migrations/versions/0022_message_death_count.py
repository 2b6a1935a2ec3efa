"""How often a message was in hand when its sender died."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0022"
down_revision = "0021"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make the change."""
    op.add_column(
        "message",
        sa.Column(
            "death_count",
            sa.Integer(),
            server_default="0",
            nullable=False,
            comment="how often its sender died while it was in hand",
        ),
    )


def downgrade() -> None:
    """Take the change back."""
    op.drop_column("message", "death_count")
