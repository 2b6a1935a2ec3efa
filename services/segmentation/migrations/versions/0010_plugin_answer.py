"""Answers of plugins that are asked before a rebuild takes its lock."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make the change."""
    op.create_table(
        "plugin_answer",
        sa.Column("contact_id", postgresql.UUID(as_uuid=True), nullable=False),
        sa.Column("segment_number", sa.Integer(), nullable=False),
        sa.Column("leaf_no", sa.Integer(), nullable=False),
        sa.Column(
            "asked",
            sa.Text(),
            nullable=False,
            comment="which version of the segment's rule asked which version of the plugin's",
        ),
        sa.Column("given", sa.Boolean(), nullable=False, comment="whether it was answered"),
        sa.Column("value", postgresql.JSONB(), nullable=True),
        sa.Column("next_change", sa.DateTime(timezone=True), nullable=True),
        sa.ForeignKeyConstraint(
            ["segment_number"],
            ["segment.number"],
            name=op.f("fk_plugin_answer_segment_number_segment"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("contact_id", "segment_number", "leaf_no", name=op.f("pk_plugin_answer")),
        comment="what plugins answered for a rebuild that is to come; whoever changes a contact deletes its rows",
    )


def downgrade() -> None:
    """Take the change back; rebuilds ask while they own the lock."""
    op.drop_table("plugin_answer")
