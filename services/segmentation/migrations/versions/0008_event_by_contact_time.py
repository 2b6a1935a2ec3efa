"""An index of a contact's events, the latest first, with all that the common rules read of them."""

from __future__ import annotations

import sqlalchemy as sa

from services.kit import changes

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make the change."""
    changes.create_index(
        "event_by_contact_time",
        "event",
        ["contact_id", "type", sa.text("occurred_at DESC")],
        postgresql_include=["category", "amount"],
    )


def downgrade() -> None:
    """Take the change back."""
    changes.drop_index("event_by_contact_time", "event")
