"""Messages by when they were planned."""

from __future__ import annotations

from services.kit import changes

revision = "0020"
down_revision = "0019"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make the change."""
    changes.create_index(
        "ix_message_create_time",
        "message",
        ["create_time"],
        postgresql_using="brin",
        postgresql_with={"pages_per_range": 32, "autosummarize": "on"},
    )


def downgrade() -> None:
    """Take the change back."""
    changes.drop_index("ix_message_create_time", "message")
