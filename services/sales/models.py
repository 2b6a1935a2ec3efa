"""The tables of sales.

Money is numeric with the 9 decimal places of the wire and room for more than 10^15 units; nothing is ever
rounded. Lines carry the stock code as it is compared: exactly, so under COLLATE "C".
"""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from sqlalchemy import Column, Table
from sqlalchemy.dialects import postgresql as pg

from services.kit.db import new_metadata
from services.kit.gone import gone_table
from services.kit.tables import kit_tables

metadata = new_metadata()
kit = kit_tables(metadata)
contact_gone = gone_table(metadata)


def _id(name: str, **options: Any) -> Column[Any]:
    return Column(name, pg.UUID(as_uuid=True), **options)


def _time(name: str) -> Column[Any]:
    return Column(name, sa.DateTime(timezone=True), nullable=False)


def _money(name: str) -> Column[Any]:
    return Column(name, sa.Numeric(38, 9), nullable=False)


def _quantity() -> Column[Any]:
    return Column("quantity", sa.Numeric(20, 6), nullable=False)


def _text(name: str) -> Column[str]:
    return Column(name, sa.Text, nullable=False)


def _exact(name: str, **options: Any) -> Column[str]:
    return Column(name, sa.Text(collation="C"), nullable=False, **options)


product = Table(
    "product",
    metadata,
    _id("id", primary_key=True),
    _exact("code", unique=True),
    _text("title"),
    _text("category"),
    _time("create_time"),
    _time("update_time"),
)

sales_order = Table(
    "sales_order",
    metadata,
    _id("id", primary_key=True),
    _id("contact_id", comment="NULL: the contact was erased"),
    _exact("source"),
    _exact("external_id"),
    Column("content_hash", sa.LargeBinary, nullable=False, comment="SHA-256 of what happened"),
    _time("order_time"),
    Column("currency", sa.Text, nullable=False),
    _money("total"),
    _text("coupon_code"),
    Column("historical", sa.Boolean, nullable=False),
    _time("create_time"),
    sa.UniqueConstraint("source", "external_id"),
    sa.Index("ix_sales_order_contact_id", "contact_id", "order_time", "id"),
    sa.Index("ix_sales_order_order_time", "order_time", "id"),
)

sales_order_line = Table(
    "sales_order_line",
    metadata,
    _id("order_id", primary_key=True),
    Column("index", sa.Integer, primary_key=True, autoincrement=False),
    _exact("product_code"),
    _quantity(),
    _money("unit_price"),
    _money("amount"),
    sa.ForeignKeyConstraint(["order_id"], ["sales_order.id"], ondelete="CASCADE"),
    sa.ForeignKeyConstraint(["product_code"], ["product.code"]),
)

sales_return = Table(
    "sales_return",
    metadata,
    _id("id", primary_key=True),
    _id("contact_id", comment="NULL: the contact was erased"),
    _id("order_id"),
    _exact("source"),
    _exact("external_id"),
    Column("content_hash", sa.LargeBinary, nullable=False, comment="SHA-256 of what happened"),
    _time("return_time"),
    Column("currency", sa.Text, nullable=False),
    _money("total"),
    Column("historical", sa.Boolean, nullable=False),
    _time("create_time"),
    sa.UniqueConstraint("source", "external_id"),
    sa.ForeignKeyConstraint(["order_id"], ["sales_order.id"]),
    sa.Index("ix_sales_return_contact_id", "contact_id", "return_time", "id"),
    sa.Index("ix_sales_return_return_time", "return_time", "id"),
    sa.Index("ix_sales_return_order_id", "order_id"),
)

sales_return_line = Table(
    "sales_return_line",
    metadata,
    _id("return_id", primary_key=True),
    Column("index", sa.Integer, primary_key=True, autoincrement=False),
    _exact("product_code"),
    _quantity(),
    _money("unit_price"),
    _money("amount"),
    sa.ForeignKeyConstraint(["return_id"], ["sales_return.id"], ondelete="CASCADE"),
    sa.ForeignKeyConstraint(["product_code"], ["product.code"]),
)

payment = Table(
    "payment",
    metadata,
    _id("id", primary_key=True),
    _id("contact_id", comment="NULL: the contact was erased"),
    _id("order_id"),
    _exact("source"),
    _exact("external_id"),
    Column("content_hash", sa.LargeBinary, nullable=False, comment="SHA-256 of what happened"),
    _time("pay_time"),
    Column("currency", sa.Text, nullable=False),
    _money("amount"),
    _text("method"),
    Column("historical", sa.Boolean, nullable=False),
    _time("create_time"),
    sa.UniqueConstraint("source", "external_id"),
    sa.ForeignKeyConstraint(["order_id"], ["sales_order.id"]),
    sa.Index("ix_payment_contact_id", "contact_id", "pay_time", "id"),
    sa.Index("ix_payment_pay_time", "pay_time", "id"),
    sa.Index("ix_payment_order_id", "order_id"),
)

unattributed_line = Table(
    "unattributed_line",
    metadata,
    _exact("source", primary_key=True),
    _exact("external_id", primary_key=True),
    _text("document"),
    _time("occur_time"),
    _exact("product_code"),
    _quantity(),
    Column("currency", sa.Text, nullable=False),
    _money("unit_price"),
    _time("create_time"),
)
