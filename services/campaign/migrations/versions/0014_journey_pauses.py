"""Journeys that are paused or cancelled, and contacts taken out of them."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0014"
down_revision = "0010"
branch_labels = None
depends_on = None

_OUTCOMES = "finished, exited, goal, limit, merged, erased"


def upgrade() -> None:
    """Make the change."""
    op.create_table(
        "journey_pause",
        sa.Column("journey_id", sa.Text(collation="C"), nullable=False),
        sa.Column("pause_time", sa.DateTime(timezone=True), nullable=False),
        sa.Column("resume_time", sa.DateTime(timezone=True), nullable=True),
        sa.ForeignKeyConstraint(
            ["journey_id"], ["journey.id"], name=op.f("fk_journey_pause_journey_id_journey")
        ),
        sa.PrimaryKeyConstraint("journey_id", "pause_time", name=op.f("pk_journey_pause")),
        comment="when nobody moved on journeys; resume_time NULL: still so",
    )
    op.add_column(
        "journey",
        sa.Column(
            "state",
            sa.Text(collation="C"),
            server_default="running",
            nullable=False,
            comment="running, paused, cancelled",
        ),
    )
    op.add_column(
        "journey", sa.Column("cancel_reason", sa.Text(), server_default=sa.text("''"), nullable=False)
    )
    op.add_column(
        "journey_entry",
        sa.Column(
            "end_reason",
            sa.Text(),
            server_default=sa.text("''"),
            nullable=False,
            comment="why it was cancelled or removed",
        ),
    )
    op.alter_column(
        "journey_entry",
        "outcome",
        comment=f"{_OUTCOMES}, cancelled, removed",
        existing_comment=_OUTCOMES,
    )


def downgrade() -> None:
    """Take the change back."""
    op.alter_column(
        "journey_entry",
        "outcome",
        comment=_OUTCOMES,
        existing_comment=f"{_OUTCOMES}, cancelled, removed",
    )
    op.drop_column("journey_entry", "end_reason")
    op.drop_column("journey", "cancel_reason")
    op.drop_column("journey", "state")
    op.drop_table("journey_pause")
