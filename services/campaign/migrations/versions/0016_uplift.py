"""Experiments with a planned size; since when the global hold-out has its share."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0016"
down_revision = "0015"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make the change."""
    op.add_column(
        "experiment",
        sa.Column(
            "baseline_rate", sa.Double(), server_default="0", nullable=False, comment="0: no size was planned"
        ),
    )
    op.add_column("experiment", sa.Column("minimal_effect", sa.Double(), server_default="0", nullable=False))
    op.add_column("experiment", sa.Column("power", sa.Double(), server_default="0", nullable=False))
    op.add_column(
        "hold_out",
        sa.Column(
            "change_time",
            sa.DateTime(timezone=True),
            nullable=True,
            comment="since when the share is as it is; NULL: not known",
        ),
    )


def downgrade() -> None:
    """Take the change back."""
    op.drop_column("hold_out", "change_time")
    for name in ("power", "minimal_effect", "baseline_rate"):
        op.drop_column("experiment", name)
