"""The published views: all of a contact that SQL of a plugin may see.

They live in the schema `sdk` of the segmentation database. No column identifies a person (no name, e-mail,
phone, street, or account id). A column may be added in any release; one is removed or retyped only
in a new major version of rapport-sdk.
"""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Date,
    DateTime,
    Double,
    Integer,
    MetaData,
    Numeric,
    Table,
    Text,
    Uuid,
)
from sqlalchemy.dialects.postgresql import ARRAY, JSONB

SCHEMA = "sdk"
metadata = MetaData(schema=SCHEMA)

PROFILE = Table(
    "profile",
    metadata,
    Column("contact_id", Uuid, primary_key=True),
    Column("kind", Text, doc="person or organization"),
    Column("has_email", Boolean),
    Column("has_phone", Boolean),
    Column("language_code", Text, doc="BCP 47"),
    Column("region_code", Text, doc="ISO 3166-1 alpha-2"),
    Column("admin_area", Text, doc="province or state"),
    Column("locality", Text, doc="city"),
    Column("ward", Text),
    Column("postal_code", Text),
    Column("latitude", Double, doc="degrees"),
    Column("longitude", Double, doc="degrees"),
    Column("time_zone", Text, doc="IANA name"),
    Column("birth_date", Date),
    Column("gender", Text),
    Column("industry", Text),
    Column("occupation", Text),
    Column("lifecycle_stage", Text),
    Column("create_time", DateTime(timezone=True)),
    Column("first_order_time", DateTime(timezone=True)),
    Column("last_order_time", DateTime(timezone=True)),
    Column("order_count", Integer),
    Column("total_spent", Numeric, doc="in the business's currency"),
    Column("tags", ARRAY(Text)),
    Column("consents", JSONB, doc='{"email_marketing": "granted"}'),
    Column("attributes", JSONB, doc="custom attributes by name"),
    Column("traits", JSONB, doc="computed traits by name"),
    Column("revision", BigInteger),
)

EVENT = Table(
    "event",
    metadata,
    Column("contact_id", Uuid, primary_key=True),
    Column("event_id", Uuid, primary_key=True),
    Column("type", Text, doc="such as order.placed"),
    Column("category", Text),
    Column("amount", Numeric, doc="in the business's currency"),
    Column("occurred_at", DateTime(timezone=True)),
    Column("payload", JSONB, doc="the event type's other fields"),
)
