"""An index of the actions that a journey still has before it."""

from __future__ import annotations

import sqlalchemy as sa

from services.kit import changes

revision = "0019"
down_revision = "0018"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make the change."""
    changes.create_index(
        "ix_journey_action_journey_id",
        "journey_action",
        ["journey_id"],
        postgresql_where=sa.text("state = 'planned'"),
    )


def downgrade() -> None:
    """Take the change back."""
    changes.drop_index("ix_journey_action_journey_id", "journey_action")
