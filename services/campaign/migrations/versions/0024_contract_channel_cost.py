"""Without the costs that have no history."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0024"
down_revision = "0023"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make the change."""
    op.drop_table("channel_cost")


def downgrade() -> None:
    """Make the table again, without costs: the revision that began the history fills it when it is taken back."""
    op.create_table(
        "channel_cost",
        sa.Column("channel", sa.Text(collation="C"), nullable=False),
        sa.Column("amount", sa.Numeric(precision=38, scale=9), nullable=False, comment="of one message"),
        sa.Column("currency", sa.Text(collation="C"), nullable=False),
        sa.PrimaryKeyConstraint("channel", name=op.f("pk_channel_cost")),
    )
