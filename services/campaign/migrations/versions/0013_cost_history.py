"""Since when a message by a channel costs so much, so that results of the past stay as they are.

A table of its own: processes of the release before know one cost for each channel, and go on with the table they have.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0013"
down_revision = "0012"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make the change; what is known so far counts from the beginning, as it did."""
    op.create_table(
        "channel_cost_history",
        sa.Column("channel", sa.Text(collation="C"), nullable=False),
        sa.Column(
            "amount",
            sa.Numeric(precision=38, scale=9),
            nullable=False,
            comment="of one message; 0: nothing from then on",
        ),
        sa.Column("currency", sa.Text(collation="C"), nullable=False),
        sa.Column(
            "start_time",
            sa.DateTime(timezone=True),
            server_default=sa.text("'1970-01-01 00:00:00+00'"),
            nullable=False,
            comment="of the messages that were sent since, until the next one",
        ),
        sa.PrimaryKeyConstraint("channel", "start_time", name=op.f("pk_channel_cost_history")),
    )
    op.execute(
        "INSERT INTO channel_cost_history (channel, amount, currency) "
        "SELECT channel, amount, currency FROM channel_cost"
    )


def downgrade() -> None:
    """Take the change back; the newest costs stay."""
    op.execute("DELETE FROM channel_cost")
    op.execute(
        "INSERT INTO channel_cost (channel, amount, currency) SELECT DISTINCT ON (channel) channel, amount, currency "
        "FROM channel_cost_history ORDER BY channel, start_time DESC"
    )
    op.execute("DELETE FROM channel_cost WHERE amount = 0")
    op.drop_table("channel_cost_history")
