"""Without the index that the one by contact and time has replaced."""

from __future__ import annotations

from services.kit import changes

revision = "0012"
down_revision = "0011"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make the change."""
    changes.drop_index("event_by_contact", "event")


def downgrade() -> None:
    """Take the change back."""
    changes.create_index("event_by_contact", "event", ["contact_id", "type", "category", "occurred_at"])
