"""Contacts that were merged into another one or erased."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make the change."""
    op.create_table(
        "contact_gone",
        sa.Column("contact_id", postgresql.UUID(as_uuid=True), nullable=False),
        sa.Column(
            "into",
            postgresql.UUID(as_uuid=True),
            nullable=True,
            comment="the contact that remains, never itself gone; NULL when all was erased",
        ),
        sa.Column("time", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("contact_id", name=op.f("pk_contact_gone")),
        comment="contacts that were merged or erased: whatever is told of one later goes to another, or nowhere",
    )
    op.create_index(op.f("ix_contact_gone_into"), "contact_gone", ["into"], unique=False)


def downgrade() -> None:
    """Take the change back; what is told later of a contact that is gone then brings it back."""
    op.drop_index(op.f("ix_contact_gone_into"), table_name="contact_gone")
    op.drop_table("contact_gone")
