"""The kit's tables, and when events came."""

from __future__ import annotations

import sqlalchemy as sa

from services.kit.db import new_metadata
from services.kit.tables import kit_tables

metadata = new_metadata()
kit = kit_tables(metadata)
arrival = sa.Table(
    "arrival",
    metadata,
    sa.Column("delay", sa.Float, nullable=False, comment="seconds since just before the event's commit"),
    sa.Column("at", sa.Float, nullable=False, comment="on the machine's monotonic clock"),
)
