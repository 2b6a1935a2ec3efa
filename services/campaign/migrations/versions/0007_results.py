"""Approvals, experiments, hold-outs, orders attributed to messages, and what things cost."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make the change."""
    op.create_table(
        "approval_policy",
        sa.Column(
            "topic", sa.Text(collation="C"), nullable=False, comment="empty: those without one of their own"
        ),
        sa.Column("always", sa.Boolean(), nullable=False),
        sa.Column("audience_above", sa.BigInteger(), nullable=True),
        sa.Column("budget_above", sa.Numeric(precision=38, scale=9), nullable=True),
        sa.Column("budget_currency", sa.Text(collation="C"), nullable=False),
        sa.Column("size_tolerance_percent", sa.Integer(), nullable=False),
        sa.Column("update_time", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("topic", name=op.f("pk_approval_policy")),
    )
    op.create_table(
        "attribution_rule",
        sa.Column(
            "id", sa.Boolean(), server_default=sa.text("true"), nullable=False, comment="there is one row"
        ),
        sa.Column("model", sa.Text(collation="C"), nullable=False),
        sa.Column("window", sa.Interval(), nullable=False),
        sa.Column("include_transactional", sa.Boolean(), nullable=False),
        sa.Column("revision", sa.BigInteger(), nullable=False),
        sa.CheckConstraint("id", name=op.f("ck_attribution_rule_one_row")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_attribution_rule")),
    )
    op.create_table(
        "budget",
        sa.Column("origin", sa.Text(collation="C"), nullable=False),
        sa.Column("amount", sa.Numeric(precision=38, scale=9), nullable=False),
        sa.Column("currency", sa.Text(collation="C"), nullable=False),
        sa.PrimaryKeyConstraint("origin", name=op.f("pk_budget")),
    )
    op.create_table(
        "channel_cost",
        sa.Column("channel", sa.Text(collation="C"), nullable=False),
        sa.Column("amount", sa.Numeric(precision=38, scale=9), nullable=False, comment="of one message"),
        sa.Column("currency", sa.Text(collation="C"), nullable=False),
        sa.PrimaryKeyConstraint("channel", name=op.f("pk_channel_cost")),
    )
    op.create_table(
        "conversion",
        sa.Column(
            "contact_id", sa.UUID(), nullable=False, comment="who ordered; all zeros when unknown or erased"
        ),
        sa.Column("sale_id", sa.UUID(), nullable=False, comment="the order or return"),
        sa.Column("message_id", sa.UUID(), nullable=False),
        sa.Column("order_id", sa.UUID(), nullable=False, comment="the order itself, also of a return"),
        sa.Column("origin", sa.Text(collation="C"), nullable=False),
        sa.Column("channel", sa.Text(collation="C"), nullable=False),
        sa.Column(
            "amount",
            sa.Numeric(precision=38, scale=9),
            nullable=False,
            comment="its part of the order; negative of a return",
        ),
        sa.Column("currency", sa.Text(collation="C"), nullable=False),
        sa.Column("rule_revision", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("contact_id", "sale_id", "message_id", name=op.f("pk_conversion")),
    )
    op.create_index("ix_conversion_order_id", "conversion", ["order_id"], unique=False)
    op.create_index("ix_conversion_origin", "conversion", ["origin"], unique=False)
    op.create_table(
        "hold_out",
        sa.Column(
            "id", sa.Boolean(), server_default=sa.text("true"), nullable=False, comment="there is one row"
        ),
        sa.Column("percent", sa.Double(), nullable=False),
        sa.Column("period_days", sa.Integer(), nullable=False, comment="0: the same contacts for ever"),
        sa.Column(
            "salt", sa.Text(collation="C"), nullable=False, comment="makes the choice unlike any other"
        ),
        sa.Column("start_time", sa.DateTime(timezone=True), nullable=False),
        sa.CheckConstraint("id", name=op.f("ck_hold_out_one_row")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_hold_out")),
    )
    op.create_table(
        "sale",
        sa.Column("id", sa.UUID(), nullable=False, comment="of the order or return"),
        sa.Column("contact_id", sa.UUID(), nullable=True, comment="NULL when unknown or erased"),
        sa.Column("kind", sa.Text(collation="C"), nullable=False, comment="order or return"),
        sa.Column(
            "order_id", sa.UUID(), nullable=True, comment="of a return: the order that the goods are from"
        ),
        sa.Column(
            "amount", sa.Numeric(precision=38, scale=9), nullable=False, comment="positive for returns, too"
        ),
        sa.Column("currency", sa.Text(collation="C"), nullable=False),
        sa.Column(
            "coupon_key",
            sa.Text(collation="C"),
            nullable=False,
            comment="key of the coupon that was shown; empty for none",
        ),
        sa.Column("time", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_sale")),
    )
    op.create_index(
        "ix_sale_contact_id",
        "sale",
        ["contact_id", "time"],
        unique=False,
        postgresql_where=sa.text("kind = 'order'"),
    )
    op.create_index(
        "ix_sale_order_id", "sale", ["order_id"], unique=False, postgresql_where=sa.text("kind = 'return'")
    )
    op.create_table(
        "approval",
        sa.Column("id", sa.UUID(), nullable=False),
        sa.Column("campaign_id", sa.Text(collation="C"), nullable=False),
        sa.Column(
            "state",
            sa.Text(collation="C"),
            nullable=False,
            comment="requested, approved, rejected or withdrawn",
        ),
        sa.Column("requester", sa.Text(), nullable=False),
        sa.Column("request_comment", sa.Text(), nullable=False),
        sa.Column("request_time", sa.DateTime(timezone=True), nullable=False),
        sa.Column("decider", sa.Text(), nullable=False),
        sa.Column("decision_comment", sa.Text(), nullable=False),
        sa.Column("decide_time", sa.DateTime(timezone=True), nullable=True),
        sa.Column(
            "subject",
            postgresql.JSONB(astext_type=sa.Text()),
            nullable=False,
            comment="what is approved, by part",
        ),
        sa.Column("fingerprint", sa.Text(collation="C"), nullable=False, comment="SHA-256 of the subject"),
        sa.ForeignKeyConstraint(["campaign_id"], ["campaign.id"], name=op.f("fk_approval_campaign_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_approval")),
    )
    op.create_index("ix_approval_campaign_id", "approval", ["campaign_id", "id"], unique=False)
    op.create_index(
        "uq_approval_open",
        "approval",
        ["campaign_id"],
        unique=True,
        postgresql_where=sa.text("state = 'requested'"),
    )
    op.create_table(
        "experiment",
        sa.Column("campaign_id", sa.Text(collation="C"), nullable=False),
        sa.Column("variants", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column("hold_out_percent", sa.Double(), nullable=False),
        sa.Column("test_percent", sa.Double(), nullable=False),
        sa.Column("duration", sa.Interval(), nullable=False),
        sa.Column("window", sa.Interval(), nullable=False),
        sa.Column("metric", sa.Text(collation="C"), nullable=False),
        sa.Column("alpha", sa.Double(), nullable=False),
        sa.Column("by_hand", sa.Boolean(), nullable=False),
        sa.Column(
            "state", sa.Text(collation="C"), nullable=False, comment="draft, running, releasing or decided"
        ),
        sa.Column("end_time", sa.DateTime(timezone=True), nullable=True),
        sa.Column("winner", sa.Text(collation="C"), nullable=False),
        sa.Column("decision", sa.Text(), nullable=False),
        sa.Column("decide_time", sa.DateTime(timezone=True), nullable=True),
        sa.ForeignKeyConstraint(["campaign_id"], ["campaign.id"], name=op.f("fk_experiment_campaign_id")),
        sa.PrimaryKeyConstraint("campaign_id", name=op.f("pk_experiment")),
    )
    op.create_index(
        "ix_experiment_open",
        "experiment",
        ["state", "end_time"],
        unique=False,
        postgresql_where=sa.text("state IN ('running', 'releasing')"),
    )
    op.add_column(
        "message",
        sa.Column(
            "variant",
            sa.Text(collation="C"),
            server_default="",
            nullable=False,
            comment="of the campaign's experiment; empty for none and held out",
        ),
    )
    op.add_column(
        "message",
        sa.Column(
            "tested",
            sa.Boolean(),
            server_default=sa.text("false"),
            nullable=False,
            comment="is compared, or held out for it",
        ),
    )


def downgrade() -> None:
    """Take the change back."""
    op.drop_column("message", "tested")
    op.drop_column("message", "variant")
    op.drop_index(
        "ix_experiment_open",
        table_name="experiment",
        postgresql_where=sa.text("state IN ('running', 'releasing')"),
    )
    op.drop_table("experiment")
    op.drop_index("uq_approval_open", table_name="approval", postgresql_where=sa.text("state = 'requested'"))
    op.drop_index("ix_approval_campaign_id", table_name="approval")
    op.drop_table("approval")
    op.drop_index("ix_sale_order_id", table_name="sale", postgresql_where=sa.text("kind = 'return'"))
    op.drop_index("ix_sale_contact_id", table_name="sale", postgresql_where=sa.text("kind = 'order'"))
    op.drop_table("sale")
    op.drop_table("hold_out")
    op.drop_index("ix_conversion_origin", table_name="conversion")
    op.drop_index("ix_conversion_order_id", table_name="conversion")
    op.drop_table("conversion")
    op.drop_table("channel_cost")
    op.drop_table("budget")
    op.drop_table("attribution_rule")
    op.drop_table("approval_policy")
