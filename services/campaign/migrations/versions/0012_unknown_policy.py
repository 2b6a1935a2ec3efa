"""What becomes of a campaign's messages of which nobody knows whether they were sent."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0012"
down_revision = "0011"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make the change."""
    op.add_column(
        "campaign",
        sa.Column(
            "unknown_policy",
            sa.Text(collation="C"),
            server_default=sa.text("'hold'"),
            nullable=False,
            comment="hold or retry: what becomes of messages that may have been sent",
        ),
    )


def downgrade() -> None:
    """Take the change back."""
    op.drop_column("campaign", "unknown_policy")
