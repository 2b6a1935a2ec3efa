"""Lists: segments without a rule, and what snapshots were made from."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make the change."""
    op.add_column(
        "segment",
        sa.Column("kind", sa.Text(), server_default="rule", nullable=False, comment="rule or list"),
    )
    op.create_table(
        "snapshot_origin",
        sa.Column("segment_number", sa.Integer(), nullable=False),
        sa.Column(
            "source", sa.Text(collation="C"), nullable=False, comment="id of the segment; empty for a rule"
        ),
        sa.Column("version", sa.BigInteger(), nullable=False, comment="of the source's rule; 0 for a rule"),
        sa.Column(
            "rule", sa.Text(), nullable=False, comment="that was evaluated; empty when members were taken"
        ),
        sa.Column(
            "as_of",
            sa.DateTime(timezone=True),
            nullable=True,
            comment="none until the snapshot was taken, unless asked for",
        ),
        sa.ForeignKeyConstraint(
            ["segment_number"],
            ["segment.number"],
            name=op.f("fk_snapshot_origin_segment_number"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("segment_number", name=op.f("pk_snapshot_origin")),
        comment="what lists that are snapshots were made from",
    )


def downgrade() -> None:
    """Take the change back; lists become segments that nobody is in by rule, so they go."""
    op.execute(
        "DELETE FROM membership AS m USING segment AS s WHERE s.number = m.segment_number AND s.kind = 'list'"
    )
    op.execute(
        "DELETE FROM segment_size AS z USING segment AS s WHERE s.number = z.segment_number AND s.kind = 'list'"
    )
    op.execute("DELETE FROM segment WHERE kind = 'list'")
    op.drop_table("snapshot_origin")
    op.drop_column("segment", "kind")
