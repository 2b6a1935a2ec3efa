"""What came back of messages: interactions, reports, and what was not readable."""

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
        "interaction",
        sa.Column("id", postgresql.UUID(as_uuid=True), nullable=False),
        sa.Column("message_id", postgresql.UUID(as_uuid=True), nullable=False),
        sa.Column("contact_id", postgresql.UUID(as_uuid=True), nullable=True),
        sa.Column("origin", sa.Text(collation="C"), nullable=False),
        sa.Column("kind", sa.Text(collation="C"), nullable=False, comment="open, click, unsubscribe"),
        sa.Column("link", sa.SmallInteger(), nullable=False, comment="number of the link; -1 for none"),
        sa.Column("time", sa.DateTime(timezone=True), nullable=False),
        sa.Column("verdict", sa.Text(collation="C"), nullable=False, comment="pending, human, scanner"),
        sa.Column("rule", sa.Text(), nullable=False, comment="what decided; empty for a person"),
        sa.Column("agent", sa.Text(collation="C"), nullable=False, comment="class of the program"),
        sa.Column(
            "source_hash", sa.LargeBinary(), nullable=True, comment="keyed hash of the network address"
        ),
        sa.Column(
            "event_id",
            postgresql.UUID(as_uuid=True),
            nullable=True,
            comment="the event that tells of it, until it is reversed",
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_interaction")),
    )
    op.create_index(
        "ix_interaction_pending",
        "interaction",
        ["time", "id"],
        unique=False,
        postgresql_where=sa.text("verdict = 'pending'"),
    )
    op.create_index("ix_interaction_message_id", "interaction", ["message_id", "time"], unique=False)
    op.create_index("ix_interaction_contact_id", "interaction", ["contact_id", "id"], unique=False)
    op.create_index("ix_interaction_origin", "interaction", ["origin", "id"], unique=False)
    op.create_index(
        "ix_interaction_source",
        "interaction",
        ["source_hash", "time"],
        unique=False,
        postgresql_where=sa.text("kind = 'click'"),
    )
    op.create_index("ix_interaction_time", "interaction", ["time"], unique=False)
    op.create_table(
        "delivery_report",
        sa.Column("message_id", postgresql.UUID(as_uuid=True), nullable=False),
        sa.Column(
            "kind",
            sa.Text(collation="C"),
            nullable=False,
            comment="delivered, delayed, soft_bounced, bounced, complained",
        ),
        sa.Column("id", postgresql.UUID(as_uuid=True), nullable=False),
        sa.Column("contact_id", postgresql.UUID(as_uuid=True), nullable=True),
        sa.Column("origin", sa.Text(collation="C"), nullable=False),
        sa.Column("recipient_hash", sa.LargeBinary(), nullable=True, comment="as in the ledger"),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("time", sa.DateTime(timezone=True), nullable=False),
        sa.Column(
            "suppressed",
            sa.Boolean(),
            nullable=False,
            comment="its address was put on the suppression list",
        ),
        sa.PrimaryKeyConstraint("message_id", "kind", name=op.f("pk_delivery_report")),
        sa.UniqueConstraint("id", name=op.f("uq_delivery_report_id")),
    )
    op.create_index("ix_delivery_report_contact_id", "delivery_report", ["contact_id"], unique=False)
    op.create_index("ix_delivery_report_origin", "delivery_report", ["origin", "id"], unique=False)
    op.create_index(
        "ix_delivery_report_soft",
        "delivery_report",
        ["recipient_hash", "time"],
        unique=False,
        postgresql_where=sa.text("kind = 'soft_bounced'"),
    )
    op.create_table(
        "quarantine",
        sa.Column("id", postgresql.UUID(as_uuid=True), nullable=False),
        sa.Column("source", sa.Text(), nullable=False, comment="mail, callbacks/…"),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("content", sa.LargeBinary(), nullable=False, comment="its beginning"),
        sa.Column("size", sa.BigInteger(), nullable=False),
        sa.Column("time", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_quarantine")),
        comment="reports that could not be read",
    )


def downgrade() -> None:
    """Take the change back."""
    op.drop_table("quarantine")
    op.drop_index(
        "ix_delivery_report_soft",
        table_name="delivery_report",
        postgresql_where=sa.text("kind = 'soft_bounced'"),
    )
    op.drop_index("ix_delivery_report_origin", table_name="delivery_report")
    op.drop_index("ix_delivery_report_contact_id", table_name="delivery_report")
    op.drop_table("delivery_report")
    op.drop_index("ix_interaction_time", table_name="interaction")
    op.drop_index(
        "ix_interaction_source", table_name="interaction", postgresql_where=sa.text("kind = 'click'")
    )
    op.drop_index("ix_interaction_origin", table_name="interaction")
    op.drop_index("ix_interaction_contact_id", table_name="interaction")
    op.drop_index("ix_interaction_message_id", table_name="interaction")
    op.drop_index(
        "ix_interaction_pending",
        table_name="interaction",
        postgresql_where=sa.text("verdict = 'pending'"),
    )
    op.drop_table("interaction")
