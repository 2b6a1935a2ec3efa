"""The index of a contact's events has the latest first, and all that the common rules read of them."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make the change."""
    op.drop_index("event_by_contact", table_name="event")
    op.create_index(
        "event_by_contact",
        "event",
        ["contact_id", "type", sa.text("occurred_at DESC")],
        unique=False,
        postgresql_include=["category", "amount"],
    )


def downgrade() -> None:
    """Take the change back, with the function that rules of before call."""
    op.get_bind().exec_driver_sql(
        "CREATE OR REPLACE FUNCTION rule_nth(x timestamptz[], n integer) RETURNS timestamptz "
        "LANGUAGE sql IMMUTABLE PARALLEL SAFE "
        "RETURN (SELECT t FROM unnest(x) AS u(t) ORDER BY t DESC LIMIT 1 OFFSET n - 1)"
    )
    op.drop_index("event_by_contact", table_name="event", postgresql_include=["category", "amount"])
    op.create_index(
        "event_by_contact", "event", ["contact_id", "type", "category", "occurred_at"], unique=False
    )
