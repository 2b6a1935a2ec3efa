"""The tables rules read. They are this package's; the service's models and migrations use these very
definitions.

Writers keep what the compiler relies on: texts are NFC and have no U+0000, ``attributes`` and ``traits`` hold
only values that ``Registry`` types allow (``profile.encode_values``), events hold every required payload
field (``profile.encode_event``).
"""

from __future__ import annotations

from sqlalchemy import (
    ARRAY,
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    Date,
    DateTime,
    Float,
    Index,
    Integer,
    MetaData,
    Numeric,
    PrimaryKeyConstraint,
    Table,
    Text,
    Uuid,
    event,
    text,
)
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.schema import DDL

from services.segmentation.rules.moments import FIRST_TIME, LAST_TIME
from services.segmentation.rules.sql.functions import FUNCTIONS

metadata = MetaData()

_C = Text(collation="C")
_TIME = DateTime(timezone=True)


def _in_range(name: str) -> str:
    return f"{name} BETWEEN '{FIRST_TIME.isoformat()}' AND '{LAST_TIME.isoformat()}'"


def _time(name: str) -> Column[object]:
    return Column(name, _TIME, CheckConstraint(_in_range(name), name=f"profile_{name}_range"))


profile = Table(
    "profile",
    metadata,
    Column("contact_id", Uuid, primary_key=True),
    Column("has_email", Boolean, nullable=False, server_default=text("false")),
    Column("has_phone", Boolean, nullable=False, server_default=text("false")),
    Column("kind", _C, nullable=False, server_default=text("'person'")),
    *(
        Column(name, _C)
        for name in (
            "language_code",
            "region_code",
            "admin_area",
            "locality",
            "ward",
            "postal_code",
            "gender",
            "lifecycle_stage",
            "time_zone",
            "industry",
            "occupation",
        )
    ),
    Column(
        "birth_date",
        Date,
        CheckConstraint("birth_date BETWEEN '0001-01-03' AND '9999-12-29'", name="profile_birth_date_range"),
    ),
    # The age a contact stated, used while the birth date is not known.
    Column("stated_age", BigInteger),
    Column("latitude", Float(53)),
    Column("longitude", Float(53)),
    _time("create_time"),
    _time("first_order_time"),
    _time("last_order_time"),
    Column("order_count", BigInteger, nullable=False, server_default=text("0")),
    Column("total_spent", Numeric, nullable=False, server_default=text("0")),
    Column("attributes", JSONB, nullable=False, server_default=text("'{}'")),
    Column("traits", JSONB, nullable=False, server_default=text("'{}'")),
    Column("consents", JSONB, nullable=False, server_default=text("'{}'")),
    Column("tags", ARRAY(_C), nullable=False, server_default=text("'{}'")),
    Column("revision", BigInteger, nullable=False, server_default=text("0")),
    CheckConstraint("(latitude IS NULL) = (longitude IS NULL)", name="profile_location_whole"),
    CheckConstraint(
        "latitude BETWEEN -90 AND 90 AND longitude BETWEEN -180 AND 180", name="profile_location_on_earth"
    ),
    CheckConstraint(
        "abs(total_spent) <= 1e18 AND min_scale(total_spent) <= 18", name="profile_total_spent_range"
    ),
    Index("profile_tags", "tags", postgresql_using="gin"),
)

event_table = Table(
    "event",
    metadata,
    Column("contact_id", Uuid, nullable=False),
    Column("event_id", Uuid, nullable=False),
    Column("type", _C, nullable=False),
    Column("category", _C),
    Column("amount", Numeric),
    Column("occurred_at", _TIME, nullable=False),
    Column("payload", JSONB, nullable=False, server_default=text("'{}'")),
    PrimaryKeyConstraint("contact_id", "event_id", name="event_pkey"),
    CheckConstraint("abs(amount) <= 1e18 AND min_scale(amount) <= 18", name="event_amount_range"),
    CheckConstraint(_in_range("occurred_at"), name="event_occurred_at_range"),
    # Rebuilds: a selective window of one type, over everybody.
    Index("event_by_type", "type", "category", "occurred_at", postgresql_include=["contact_id"]),
    # Increments: the events of one contact. Passes and wide windows: those of everybody, contact by contact, latest
    # first, so that grouping them needs neither a hash nor a sort.
    Index(
        "event_by_contact_time",
        "contact_id",
        "type",
        text("occurred_at DESC"),
        postgresql_include=["category", "amount"],
    ),
)

membership = Table(
    "membership",
    metadata,
    Column("segment_number", Integer, nullable=False),
    Column("contact_id", Uuid, nullable=False),
    PrimaryKeyConstraint("segment_number", "contact_id", name="membership_pkey"),
    Index("membership_by_contact", "contact_id", "segment_number"),
)

scratch = MetaData()
"""Not part of the schema: the shape of the relation that carries what plugins answered."""

plugin_leaf = Table(
    "plugin_leaf",
    scratch,
    Column("leaf_no", Integer, nullable=False),
    Column("contact_id", Uuid, nullable=False),
    Column("value", JSONB),
    PrimaryKeyConstraint("leaf_no", "contact_id", name="plugin_leaf_pkey"),
    prefixes=["TEMPORARY"],
    postgresql_on_commit="DROP",
)

for _statement in FUNCTIONS:
    event.listen(metadata, "before_create", DDL(_statement.replace("%", "%%")))  # type: ignore[no-untyped-call]
