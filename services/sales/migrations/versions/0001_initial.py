"""Create the tables of sales and of the kit."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make the change."""
    op.create_table(
        "dead_letter",
        sa.Column("consumer", sa.Text(), nullable=False),
        sa.Column("event_id", sa.UUID(), nullable=False),
        sa.Column("source", sa.Text(), nullable=False),
        sa.Column("type", sa.Text(), nullable=False),
        sa.Column("contact_id", sa.UUID(), nullable=True, comment="so that erasure finds it"),
        sa.Column("event", sa.LargeBinary(), nullable=False, comment="rapport.events.v1.Event"),
        sa.Column("error", sa.Text(), nullable=False),
        sa.Column("create_time", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("consumer", "event_id", name=op.f("pk_dead_letter")),
    )
    op.create_index("ix_dead_letter_contact_id", "dead_letter", ["contact_id"], unique=False)
    op.create_table(
        "operation",
        sa.Column("id", sa.UUID(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("request_type", sa.Text(), nullable=False),
        sa.Column("request", sa.LargeBinary(), nullable=False),
        sa.Column("request_id", sa.Text(), server_default="", nullable=False),
        sa.Column("request_hash", sa.LargeBinary(), nullable=False, comment="of the request and its content"),
        sa.Column("principal", sa.Text(), server_default="", nullable=False),
        sa.Column(
            "state",
            postgresql.JSONB(astext_type=sa.Text()),
            server_default=sa.text("'{}'::jsonb"),
            nullable=False,
        ),
        sa.Column("completed", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("total", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("unit", sa.Text(), server_default="", nullable=False),
        sa.Column("stage", sa.Text(), server_default="", nullable=False),
        sa.Column(
            "attempt", sa.Integer(), server_default="0", nullable=False, comment="fences off earlier attempts"
        ),
        sa.Column(
            "fruitless",
            sa.Integer(),
            server_default="0",
            nullable=False,
            comment="attempts since a checkpoint",
        ),
        sa.Column("cancel_requested", sa.Boolean(), server_default=sa.text("false"), nullable=False),
        sa.Column("done", sa.Boolean(), server_default=sa.text("false"), nullable=False),
        sa.Column("error", sa.LargeBinary(), nullable=True, comment="google.rpc.Status"),
        sa.Column("response_type", sa.Text(), nullable=True),
        sa.Column("response", sa.LargeBinary(), nullable=True),
        sa.Column("create_time", sa.DateTime(timezone=True), nullable=False),
        sa.Column("end_time", sa.DateTime(timezone=True), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_operation")),
    )
    op.create_index("ix_operation_create_time", "operation", ["create_time", "id"], unique=False)
    op.create_index(
        "ix_operation_pending",
        "operation",
        ["kind", "id"],
        unique=False,
        postgresql_where=sa.text("NOT done"),
    )
    op.create_index(
        "uq_operation_kind_request_id",
        "operation",
        ["kind", "request_id"],
        unique=True,
        postgresql_where=sa.text("request_id <> ''"),
    )
    op.create_table(
        "outbox",
        sa.Column("id", sa.UUID(), nullable=False),
        sa.Column("position", sa.BigInteger(), nullable=True, comment="given by the relay; NULL until then"),
        sa.Column("type", sa.Text(), nullable=False),
        sa.Column("subject", sa.Text(), nullable=False),
        sa.Column("contact_id", sa.UUID(), nullable=True),
        sa.Column("revision", sa.BigInteger(), nullable=False),
        sa.Column("occur_time", sa.DateTime(timezone=True), nullable=False),
        sa.Column("record_time", sa.DateTime(timezone=True), nullable=False),
        sa.Column("historical", sa.Boolean(), nullable=False),
        sa.Column("data_type", sa.Text(), nullable=False),
        sa.Column("data", sa.LargeBinary(), nullable=False),
        sa.Column("traceparent", sa.Text(), server_default="", nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_outbox")),
    )
    op.create_index("ix_outbox_contact_id", "outbox", ["contact_id"], unique=False)
    op.create_index("ix_outbox_position", "outbox", ["position"], unique=True)
    op.create_index(
        "ix_outbox_unpositioned", "outbox", ["id"], unique=False, postgresql_where=sa.text("position IS NULL")
    )
    op.create_table(
        "processed_event",
        sa.Column("consumer", sa.Text(), nullable=False),
        sa.Column("event_id", sa.UUID(), nullable=False),
        sa.Column("position", sa.BigInteger(), nullable=False, comment="of the event in its source's stream"),
        sa.Column("record_time", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("consumer", "event_id", name=op.f("pk_processed_event")),
    )
    op.create_index(
        "ix_processed_event_consumer_record_time",
        "processed_event",
        ["consumer", "record_time"],
        unique=False,
    )
    op.create_table(
        "product",
        sa.Column("id", sa.UUID(), nullable=False),
        sa.Column("code", sa.Text(collation="C"), nullable=False),
        sa.Column("title", sa.Text(), nullable=False),
        sa.Column("category", sa.Text(), nullable=False),
        sa.Column("create_time", sa.DateTime(timezone=True), nullable=False),
        sa.Column("update_time", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_product")),
        sa.UniqueConstraint("code", name=op.f("uq_product_code")),
    )
    op.create_table(
        "request_log",
        sa.Column("request_id", sa.Text(), nullable=False),
        sa.Column("request_type", sa.Text(), nullable=False, comment="full name of the request message"),
        sa.Column("request_hash", sa.LargeBinary(), nullable=False),
        sa.Column("response_type", sa.Text(), nullable=False),
        sa.Column(
            "response", sa.LargeBinary(), nullable=True, comment="NULL while the first call is under way"
        ),
        sa.Column("create_time", sa.DateTime(timezone=True), nullable=True),
        sa.PrimaryKeyConstraint("request_id", "request_type", name=op.f("pk_request_log")),
    )
    op.create_index("ix_request_log_create_time", "request_log", ["create_time"], unique=False)
    op.create_table(
        "sales_order",
        sa.Column("id", sa.UUID(), nullable=False),
        sa.Column("contact_id", sa.UUID(), nullable=False),
        sa.Column("source", sa.Text(collation="C"), nullable=False),
        sa.Column("external_id", sa.Text(collation="C"), nullable=False),
        sa.Column("content_hash", sa.LargeBinary(), nullable=False, comment="SHA-256 of what happened"),
        sa.Column("order_time", sa.DateTime(timezone=True), nullable=False),
        sa.Column("currency", sa.Text(), nullable=False),
        sa.Column("total", sa.Numeric(precision=38, scale=9), nullable=False),
        sa.Column("coupon_code", sa.Text(), nullable=False),
        sa.Column("historical", sa.Boolean(), nullable=False),
        sa.Column("create_time", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_sales_order")),
        sa.UniqueConstraint("source", "external_id", name=op.f("uq_sales_order_source_external_id")),
    )
    op.create_index(
        "ix_sales_order_contact_id", "sales_order", ["contact_id", "order_time", "id"], unique=False
    )
    op.create_index("ix_sales_order_order_time", "sales_order", ["order_time", "id"], unique=False)
    op.create_table(
        "stream",
        sa.Column("id", sa.SmallInteger(), autoincrement=False, nullable=False, comment="always 1"),
        sa.Column("timeline", sa.UUID(), nullable=False),
        sa.Column("last_position", sa.BigInteger(), nullable=False, comment="newest position given out"),
        sa.Column(
            "purged_position", sa.BigInteger(), nullable=False, comment="newest position no longer kept"
        ),
        sa.CheckConstraint("id = 1", name=op.f("ck_stream_single")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_stream")),
    )
    op.create_table(
        "subscription",
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("timeline", sa.UUID(), nullable=False),
        sa.Column("position", sa.BigInteger(), nullable=False),
        sa.Column("update_time", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_subscription")),
    )
    op.create_table(
        "unattributed_line",
        sa.Column("source", sa.Text(collation="C"), nullable=False),
        sa.Column("external_id", sa.Text(collation="C"), nullable=False),
        sa.Column("document", sa.Text(), nullable=False),
        sa.Column("occur_time", sa.DateTime(timezone=True), nullable=False),
        sa.Column("product_code", sa.Text(collation="C"), nullable=False),
        sa.Column("quantity", sa.Numeric(precision=20, scale=6), nullable=False),
        sa.Column("currency", sa.Text(), nullable=False),
        sa.Column("unit_price", sa.Numeric(precision=38, scale=9), nullable=False),
        sa.Column("create_time", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("source", "external_id", name=op.f("pk_unattributed_line")),
    )
    op.create_table(
        "operation_chunk",
        sa.Column("operation_id", sa.UUID(), nullable=False),
        sa.Column("index", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("data", sa.LargeBinary(), nullable=False),
        sa.ForeignKeyConstraint(
            ["operation_id"],
            ["operation.id"],
            name=op.f("fk_operation_chunk_operation_id"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("operation_id", "index", name=op.f("pk_operation_chunk")),
    )
    op.create_table(
        "payment",
        sa.Column("id", sa.UUID(), nullable=False),
        sa.Column("contact_id", sa.UUID(), nullable=False),
        sa.Column("order_id", sa.UUID(), nullable=True),
        sa.Column("source", sa.Text(collation="C"), nullable=False),
        sa.Column("external_id", sa.Text(collation="C"), nullable=False),
        sa.Column("content_hash", sa.LargeBinary(), nullable=False, comment="SHA-256 of what happened"),
        sa.Column("pay_time", sa.DateTime(timezone=True), nullable=False),
        sa.Column("currency", sa.Text(), nullable=False),
        sa.Column("amount", sa.Numeric(precision=38, scale=9), nullable=False),
        sa.Column("method", sa.Text(), nullable=False),
        sa.Column("historical", sa.Boolean(), nullable=False),
        sa.Column("create_time", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(["order_id"], ["sales_order.id"], name=op.f("fk_payment_order_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_payment")),
        sa.UniqueConstraint("source", "external_id", name=op.f("uq_payment_source_external_id")),
    )
    op.create_index("ix_payment_contact_id", "payment", ["contact_id", "pay_time", "id"], unique=False)
    op.create_index("ix_payment_order_id", "payment", ["order_id"], unique=False)
    op.create_index("ix_payment_pay_time", "payment", ["pay_time", "id"], unique=False)
    op.create_table(
        "sales_order_line",
        sa.Column("order_id", sa.UUID(), nullable=False),
        sa.Column("index", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("product_code", sa.Text(collation="C"), nullable=False),
        sa.Column("quantity", sa.Numeric(precision=20, scale=6), nullable=False),
        sa.Column("unit_price", sa.Numeric(precision=38, scale=9), nullable=False),
        sa.Column("amount", sa.Numeric(precision=38, scale=9), nullable=False),
        sa.ForeignKeyConstraint(
            ["order_id"], ["sales_order.id"], name=op.f("fk_sales_order_line_order_id"), ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(
            ["product_code"], ["product.code"], name=op.f("fk_sales_order_line_product_code")
        ),
        sa.PrimaryKeyConstraint("order_id", "index", name=op.f("pk_sales_order_line")),
    )
    op.create_table(
        "sales_return",
        sa.Column("id", sa.UUID(), nullable=False),
        sa.Column("contact_id", sa.UUID(), nullable=False),
        sa.Column("order_id", sa.UUID(), nullable=True),
        sa.Column("source", sa.Text(collation="C"), nullable=False),
        sa.Column("external_id", sa.Text(collation="C"), nullable=False),
        sa.Column("content_hash", sa.LargeBinary(), nullable=False, comment="SHA-256 of what happened"),
        sa.Column("return_time", sa.DateTime(timezone=True), nullable=False),
        sa.Column("currency", sa.Text(), nullable=False),
        sa.Column("total", sa.Numeric(precision=38, scale=9), nullable=False),
        sa.Column("historical", sa.Boolean(), nullable=False),
        sa.Column("create_time", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(["order_id"], ["sales_order.id"], name=op.f("fk_sales_return_order_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_sales_return")),
        sa.UniqueConstraint("source", "external_id", name=op.f("uq_sales_return_source_external_id")),
    )
    op.create_index(
        "ix_sales_return_contact_id", "sales_return", ["contact_id", "return_time", "id"], unique=False
    )
    op.create_index("ix_sales_return_order_id", "sales_return", ["order_id"], unique=False)
    op.create_index("ix_sales_return_return_time", "sales_return", ["return_time", "id"], unique=False)
    op.create_table(
        "sales_return_line",
        sa.Column("return_id", sa.UUID(), nullable=False),
        sa.Column("index", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("product_code", sa.Text(collation="C"), nullable=False),
        sa.Column("quantity", sa.Numeric(precision=20, scale=6), nullable=False),
        sa.Column("unit_price", sa.Numeric(precision=38, scale=9), nullable=False),
        sa.Column("amount", sa.Numeric(precision=38, scale=9), nullable=False),
        sa.ForeignKeyConstraint(
            ["product_code"], ["product.code"], name=op.f("fk_sales_return_line_product_code")
        ),
        sa.ForeignKeyConstraint(
            ["return_id"],
            ["sales_return.id"],
            name=op.f("fk_sales_return_line_return_id"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("return_id", "index", name=op.f("pk_sales_return_line")),
    )


def downgrade() -> None:
    """Take the change back."""
    op.drop_table("sales_return_line")
    op.drop_index("ix_sales_return_return_time", table_name="sales_return")
    op.drop_index("ix_sales_return_order_id", table_name="sales_return")
    op.drop_index("ix_sales_return_contact_id", table_name="sales_return")
    op.drop_table("sales_return")
    op.drop_table("sales_order_line")
    op.drop_index("ix_payment_pay_time", table_name="payment")
    op.drop_index("ix_payment_order_id", table_name="payment")
    op.drop_index("ix_payment_contact_id", table_name="payment")
    op.drop_table("payment")
    op.drop_table("operation_chunk")
    op.drop_table("unattributed_line")
    op.drop_table("subscription")
    op.drop_table("stream")
    op.drop_index("ix_sales_order_order_time", table_name="sales_order")
    op.drop_index("ix_sales_order_contact_id", table_name="sales_order")
    op.drop_table("sales_order")
    op.drop_index("ix_request_log_create_time", table_name="request_log")
    op.drop_table("request_log")
    op.drop_table("product")
    op.drop_index("ix_processed_event_consumer_record_time", table_name="processed_event")
    op.drop_table("processed_event")
    op.drop_index("ix_outbox_unpositioned", table_name="outbox", postgresql_where=sa.text("position IS NULL"))
    op.drop_index("ix_outbox_position", table_name="outbox")
    op.drop_index("ix_outbox_contact_id", table_name="outbox")
    op.drop_table("outbox")
    op.drop_index(
        "uq_operation_kind_request_id", table_name="operation", postgresql_where=sa.text("request_id <> ''")
    )
    op.drop_index("ix_operation_pending", table_name="operation", postgresql_where=sa.text("NOT done"))
    op.drop_index("ix_operation_create_time", table_name="operation")
    op.drop_table("operation")
    op.drop_index("ix_dead_letter_contact_id", table_name="dead_letter")
    op.drop_table("dead_letter")
