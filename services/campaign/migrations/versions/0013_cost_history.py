"""Since when a message by a channel costs so much, so that results of the past stay as they are."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0013"
down_revision = "0012"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make the change; what is known so far counts from the beginning, as it did."""
    op.add_column(
        "channel_cost",
        sa.Column(
            "start_time",
            sa.DateTime(timezone=True),
            server_default=sa.text("'1970-01-01 00:00:00+00'"),
            nullable=False,
            comment="of the messages that were sent since, until the next one",
        ),
    )
    op.drop_constraint("pk_channel_cost", "channel_cost", type_="primary")
    op.create_primary_key("pk_channel_cost", "channel_cost", ["channel", "start_time"])
    op.alter_column(
        "channel_cost",
        "amount",
        comment="of one message; 0: nothing from then on",
        existing_comment="of one message",
        existing_type=sa.Numeric(38, 9),
        existing_nullable=False,
    )


def downgrade() -> None:
    """Take the change back; the newest costs stay."""
    op.execute(
        "DELETE FROM channel_cost AS old USING channel_cost AS newer "
        "WHERE newer.channel = old.channel AND newer.start_time > old.start_time"
    )
    op.drop_constraint("pk_channel_cost", "channel_cost", type_="primary")
    op.drop_column("channel_cost", "start_time")
    op.execute("DELETE FROM channel_cost WHERE amount = 0")
    op.create_primary_key("pk_channel_cost", "channel_cost", ["channel"])
    op.alter_column(
        "channel_cost",
        "amount",
        comment="of one message",
        existing_comment="of one message; 0: nothing from then on",
        existing_type=sa.Numeric(38, 9),
        existing_nullable=False,
    )
