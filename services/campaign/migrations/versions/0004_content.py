"""Links of templates, how they are counted, and uploaded coupon codes."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make the change."""
    op.alter_column(
        "template",
        "contents",
        existing_type=postgresql.JSONB(astext_type=sa.Text()),
        existing_nullable=False,
        existing_comment="list of language_code, subject, text, html",
        comment="list of language_code, subject, text, html, mjml",
    )
    op.create_table(
        "link",
        sa.Column("template_id", sa.Text(collation="C"), nullable=False),
        sa.Column("number", sa.SmallInteger(), autoincrement=False, nullable=False),
        sa.Column("url", sa.Text(collation="C"), nullable=False),
        sa.PrimaryKeyConstraint("template_id", "number", name=op.f("pk_link")),
        comment="static links of templates, past ones too: messages that left name them by number",
    )
    op.create_table(
        "link_settings",
        sa.Column("origin", sa.Text(collation="C"), nullable=False, comment="campaigns/… or journeys/…"),
        sa.Column("utm_source", sa.Text(), nullable=False),
        sa.Column("utm_medium", sa.Text(), nullable=False),
        sa.Column("utm_campaign", sa.Text(), nullable=False),
        sa.Column("utm_content", sa.Text(), nullable=False),
        sa.Column("track_clicks", sa.Boolean(), nullable=True, comment="NULL: as the topic has it"),
        sa.Column("track_opens", sa.Boolean(), nullable=True, comment="NULL: as the topic has it"),
        sa.Column("update_time", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("origin", name=op.f("pk_link_settings")),
        comment="how the links of a campaign's or journey's messages are counted",
    )
    op.add_column(
        "coupon_pool",
        sa.Column(
            "imported",
            sa.Boolean(),
            server_default=sa.text("false"),
            nullable=False,
            comment="its codes were uploaded: it makes none of its own",
        ),
    )
    op.create_table(
        "coupon_code",
        sa.Column(
            "key",
            sa.Text(collation="C"),
            nullable=False,
            comment="the code in capitals, without spaces and dashes",
        ),
        sa.Column("code", sa.Text(), nullable=False),
        sa.Column("pool_id", sa.Text(collation="C"), nullable=False),
        sa.Column(
            "message_id",
            postgresql.UUID(as_uuid=True),
            nullable=True,
            comment="the message that it is reserved for while that is made ready; NULL: free",
        ),
        sa.ForeignKeyConstraint(["pool_id"], ["coupon_pool.id"], name=op.f("fk_coupon_code_pool_id")),
        sa.PrimaryKeyConstraint("key", name=op.f("pk_coupon_code")),
        comment="uploaded codes that no message has carried yet",
    )
    op.create_index(
        "ix_coupon_code_free",
        "coupon_code",
        ["pool_id", "key"],
        unique=False,
        postgresql_where=sa.text("message_id IS NULL"),
    )
    op.create_index(
        "uq_coupon_code_message_id",
        "coupon_code",
        ["message_id"],
        unique=True,
        postgresql_where=sa.text("message_id IS NOT NULL"),
    )


def downgrade() -> None:
    """Take the change back."""
    op.drop_index("uq_coupon_code_message_id", table_name="coupon_code")
    op.drop_index("ix_coupon_code_free", table_name="coupon_code")
    op.drop_table("coupon_code")
    op.drop_column("coupon_pool", "imported")
    op.drop_table("link_settings")
    op.drop_table("link")
    op.alter_column(
        "template",
        "contents",
        existing_type=postgresql.JSONB(astext_type=sa.Text()),
        existing_nullable=False,
        existing_comment="list of language_code, subject, text, html, mjml",
        comment="list of language_code, subject, text, html",
    )
