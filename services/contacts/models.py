"""The tables of contacts.

A contact is one row, its identities and the consents in force included, so that reading one is reading one
row. The table `identity` repeats the identities to make them unique and to find a contact by them; it has no
foreign key, whose check takes twice as long as writing the row, and is written only beside the contact's row.
Texts that are compared exactly, and never sorted for people, stand under COLLATE "C".
"""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from sqlalchemy import Column, Table
from sqlalchemy.dialects import postgresql as pg

from services.kit.db import new_metadata
from services.kit.tables import kit_tables

metadata = new_metadata()
kit = kit_tables(metadata)


def _id(name: str, **options: Any) -> Column[Any]:
    return Column(name, pg.UUID(as_uuid=True), **options)


def _text(name: str, **options: Any) -> Column[str]:
    return Column(name, sa.Text(collation="C"), nullable=False, **options)


def _time(name: str, **options: Any) -> Column[Any]:
    return Column(name, sa.DateTime(timezone=True), nullable=False, **options)


def _json(name: str) -> Column[Any]:
    return Column(name, pg.JSONB, nullable=False)


contact = Table(
    "contact",
    metadata,
    _id("id", primary_key=True),
    Column("kind", sa.SmallInteger, nullable=False, comment="1 person, 2 organisation"),
    _text("display_name"),
    _text("folded_name", comment="display name without case and accents, for search"),
    _text("given_name"),
    _text("family_name"),
    _text("language_code"),
    _text("time_zone"),
    _text("region_code"),
    _text("administrative_area"),
    _text("locality"),
    _text("sublocality"),
    _text("postal_code"),
    Column("address_lines", pg.ARRAY(sa.Text), nullable=False),
    Column("latitude", sa.Double),
    Column("longitude", sa.Double),
    Column("birth_date", sa.Date),
    _text("gender"),
    _text("lifecycle_stage"),
    _text("industry"),
    _text("occupation"),
    _text("owner", server_default="", comment="the user whose contact it is; empty for nobody's"),
    _text("team", server_default="", comment="the team whose contact it is; empty for none's"),
    _json("attributes"),
    Column("tags", pg.ARRAY(sa.Text), nullable=False),
    Column(
        "identities", pg.JSONB, nullable=False, comment="[[type, source, value], …] in the order of arrival"
    ),
    Column("consents", pg.JSONB, nullable=False, comment="decisions in force by <channel>_<topic>"),
    Column("revision", sa.BigInteger, nullable=False),
    _time("create_time"),
    _time("update_time"),
    sa.CheckConstraint("kind IN (1, 2)", name="kind"),
    sa.Index("ix_contact_create_time_id", "create_time", "id"),
    sa.Index(
        "ix_contact_folded_name",
        "folded_name",
        postgresql_using="gin",
        postgresql_ops={"folded_name": "gin_trgm_ops"},
    ),
    sa.Index("ix_contact_tags", "tags", postgresql_using="gin", postgresql_where=sa.text("tags <> '{}'")),
    sa.Index("ix_contact_owner", "owner", "create_time", "id", postgresql_where=sa.text("owner <> ''")),
    sa.Index("ix_contact_team", "team", "create_time", "id", postgresql_where=sa.text("team <> ''")),
    sa.Index("ix_contact_organizations", "id", postgresql_where=sa.text("kind = 2")),
)

contact_gone = Table(
    "contact_gone",
    metadata,
    _id("contact_id", primary_key=True),
    _id("into", index=True, comment="the contact that remains, never itself gone; NULL when all was erased"),
    _time("time"),
    comment="contacts that were merged into another one or erased",
)

identity = Table(
    "identity",
    metadata,
    Column("type", sa.SmallInteger, primary_key=True, autoincrement=False),
    _text("source", primary_key=True),
    _text("value", primary_key=True),
    _id("contact_id", nullable=False),
)

consent = Table(
    "consent",
    metadata,
    _id("contact_id", primary_key=True),
    Column("decide_time", sa.DateTime(timezone=True), primary_key=True),
    _text("channel", primary_key=True),
    _text("topic", primary_key=True),
    Column("granted", sa.Boolean, primary_key=True),
    _text("source"),
    _text("proof"),
    _time("record_time"),
    comment="every decision ever recorded; the one in force is on the contact",
)

attribute = Table(
    "attribute",
    metadata,
    _text("id", primary_key=True),
    Column("type", sa.SmallInteger, nullable=False),
    _text("label"),
    Column("allowed_values", pg.ARRAY(sa.Text), nullable=False),
    Column("minimum", sa.Double),
    Column("maximum", sa.Double),
    _time("create_time"),
)

activity_type = Table(
    "activity_type",
    metadata,
    _text("id", primary_key=True),
    _text("rule_name", unique=True, comment="the id with _ for ., by which rules know it"),
    _text("label"),
    Column("fields", pg.JSONB, nullable=False, comment='[{"id", "type", "optional"}, …]'),
    _time("create_time"),
)

activity = Table(
    "activity",
    metadata,
    _id("id", primary_key=True),
    _id("contact_id", nullable=False),
    Column("type", sa.Text(collation="C"), sa.ForeignKey("activity_type.id"), nullable=False),
    _time("occur_time"),
    _json("fields"),
    _text("source"),
    _text("external_id"),
    Column("historical", sa.Boolean, nullable=False),
    _time("record_time"),
    sa.Index("ix_activity_contact_id_occur_time_id", "contact_id", "occur_time", "id"),
    sa.Index(
        "uq_activity_source_external_id",
        "source",
        "external_id",
        unique=True,
        postgresql_where=sa.text("external_id <> ''"),
    ),
)

import_error = Table(
    "import_error",
    metadata,
    Column(
        "operation_id",
        pg.UUID(as_uuid=True),
        sa.ForeignKey(kit.operation.c.id, ondelete="CASCADE"),
        primary_key=True,
    ),
    Column("line", sa.BigInteger, primary_key=True, autoincrement=False),
    _text("column"),
    _text("reason"),
    _text("row"),
)
