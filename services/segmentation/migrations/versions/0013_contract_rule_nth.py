"""Without the function that rules no longer call."""

from __future__ import annotations

from alembic import op

revision = "0013"
down_revision = "0012"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make the change."""
    op.execute("DROP FUNCTION IF EXISTS rule_nth(timestamptz[], integer)")


def downgrade() -> None:
    """Take the change back."""
    op.execute(
        "CREATE OR REPLACE FUNCTION rule_nth(x timestamptz[], n integer) RETURNS timestamptz "
        "LANGUAGE sql IMMUTABLE PARALLEL SAFE "
        "RETURN (SELECT t FROM unnest(x) AS u(t) ORDER BY t DESC LIMIT 1 OFFSET n - 1)"
    )
