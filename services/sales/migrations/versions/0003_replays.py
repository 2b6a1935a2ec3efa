"""Dead letters that are to be handled again."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make the change."""
    op.add_column(
        "dead_letter",
        sa.Column(
            "replay_time",
            sa.DateTime(timezone=True),
            nullable=True,
            comment="since when it is to be handled again",
        ),
    )
    op.create_index(
        "ix_dead_letter_asked",
        "dead_letter",
        ["consumer"],
        unique=False,
        postgresql_where=sa.text("replay_time IS NOT NULL"),
    )


def downgrade() -> None:
    """Take the change back."""
    op.drop_index(
        "ix_dead_letter_asked",
        table_name="dead_letter",
        postgresql_where=sa.text("replay_time IS NOT NULL"),
    )
    op.drop_column("dead_letter", "replay_time")
