"""Functions of calendars and buckets, which rules call."""

from __future__ import annotations

from alembic import op

from services.segmentation.rules.sql.functions import FUNCTIONS

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make the change: every function is created again, those of before as they are now."""
    for statement in FUNCTIONS:
        op.get_bind().exec_driver_sql(statement.replace("%", "%%"))


def downgrade() -> None:
    """Take the change back: there is nothing to do, as the functions of before are among those of now."""
