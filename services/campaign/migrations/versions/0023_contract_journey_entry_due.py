"""Without the index that the one of open entries has replaced."""

from __future__ import annotations

import sqlalchemy as sa

from services.kit import changes

revision = "0023"
down_revision = "0022"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make the change."""
    changes.drop_index("ix_journey_entry_due", "journey_entry")


def downgrade() -> None:
    """Take the change back."""
    changes.create_index(
        "ix_journey_entry_due",
        "journey_entry",
        ["due_time", "id"],
        postgresql_where=sa.text("finish_time IS NULL"),
    )
