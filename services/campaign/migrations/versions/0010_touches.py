"""What of a message an order is attributed by; tasks as deeds of journeys."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None

_KINDS = "set_attribute, modify_tags, open_case"


def upgrade() -> None:
    """Make the change."""
    op.add_column(
        "attribution_rule",
        sa.Column(
            "touch",
            sa.Text(collation="C"),
            server_default="sent",
            nullable=False,
            comment="what counts of a message: sent, open, click",
        ),
    )
    op.alter_column("journey_action", "kind", comment=f"{_KINDS}, open_task", existing_comment=_KINDS)


def downgrade() -> None:
    """Take the change back."""
    op.alter_column("journey_action", "kind", comment=_KINDS, existing_comment=f"{_KINDS}, open_task")
    op.drop_column("attribution_rule", "touch")
