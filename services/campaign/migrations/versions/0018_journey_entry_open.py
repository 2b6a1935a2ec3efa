"""An index of those who are on a journey."""

from __future__ import annotations

import sqlalchemy as sa

from services.kit import changes

revision = "0018"
down_revision = "0017"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make the change."""
    changes.create_index(
        "ix_journey_entry_open",
        "journey_entry",
        ["journey_id", "due_time", "id"],
        postgresql_where=sa.text("finish_time IS NULL"),
    )


def downgrade() -> None:
    """Take the change back."""
    changes.drop_index("ix_journey_entry_open", "journey_entry")
