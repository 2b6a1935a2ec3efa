"""Contacts that were merged into another one or erased."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

_TABLES = ("sales_order", "sales_return", "payment")
_NOBODY = "00000000-0000-0000-0000-000000000000"


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
        comment="contacts that were merged into another one or erased",
    )
    op.create_index(op.f("ix_contact_gone_into"), "contact_gone", ["into"], unique=False)
    for table in _TABLES:
        op.alter_column(
            table,
            "contact_id",
            existing_type=postgresql.UUID(as_uuid=True),
            nullable=True,
            comment="NULL: the contact was erased",
        )


def downgrade() -> None:
    """Take the change back; what erased contacts bought is then of a contact with the id zero."""
    for table in _TABLES:
        op.execute(f"UPDATE {table} SET contact_id = '{_NOBODY}' WHERE contact_id IS NULL")
        op.alter_column(
            table,
            "contact_id",
            existing_type=postgresql.UUID(as_uuid=True),
            nullable=False,
            comment=None,
            existing_comment="NULL: the contact was erased",
        )
    op.drop_index(op.f("ix_contact_gone_into"), table_name="contact_gone")
    op.drop_table("contact_gone")
