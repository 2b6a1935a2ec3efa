"""Approval of journeys."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0015"
down_revision = "0014"
branch_labels = None
depends_on = None

_SMALL = "approval has a row for each request that a person made, so it is read in no time"
waivers = {
    "ban-drop-not-null": "0.1.0 decides on campaigns only; in its lists a request about a journey names none",
    "ban-new-write-restriction": "0.1.0 writes requests of campaigns only, which keep the rule",
    "adding-foreign-key-constraint": _SMALL,
    "constraint-missing-not-valid": _SMALL,
    "require-concurrent-index-creation": _SMALL,
}

_OPEN = sa.text("state = 'requested'")


def upgrade() -> None:
    """Make the change."""
    op.alter_column("approval", "campaign_id", nullable=True, comment="NULL: of a journey")
    op.add_column(
        "approval",
        sa.Column("journey_id", sa.Text(collation="C"), nullable=True, comment="NULL: of a campaign"),
    )
    op.add_column(
        "approval",
        sa.Column(
            "proposal",
            postgresql.JSONB(none_as_null=True),
            nullable=True,
            comment="a definition that is not stored yet; NULL: as it is stored",
        ),
    )
    op.create_foreign_key(
        op.f("fk_approval_journey_id_journey"), "approval", "journey", ["journey_id"], ["id"]
    )
    op.create_check_constraint(
        op.f("ck_approval_one_origin"), "approval", "num_nonnulls(campaign_id, journey_id) = 1"
    )
    op.create_index("ix_approval_journey_id", "approval", ["journey_id", "id"])
    op.create_index(
        "uq_approval_open_journey", "approval", ["journey_id"], unique=True, postgresql_where=_OPEN
    )
    op.add_column(
        "journey_version",
        sa.Column(
            "author",
            sa.Text(),
            server_default=sa.text("''"),
            nullable=False,
            comment="who made it; empty when not known",
        ),
    )


def downgrade() -> None:
    """Take the change back; requests about journeys go."""
    op.drop_column("journey_version", "author")
    op.execute("DELETE FROM approval WHERE campaign_id IS NULL")
    op.drop_index("uq_approval_open_journey", table_name="approval", postgresql_where=_OPEN)
    op.drop_index("ix_approval_journey_id", table_name="approval")
    op.drop_constraint(op.f("ck_approval_one_origin"), "approval", type_="check")
    op.drop_constraint(op.f("fk_approval_journey_id_journey"), "approval", type_="foreignkey")
    op.drop_column("approval", "proposal")
    op.drop_column("approval", "journey_id")
    op.alter_column("approval", "campaign_id", nullable=False, comment=None)
