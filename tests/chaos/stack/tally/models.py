"""The tables of the tally."""

from __future__ import annotations

import sqlalchemy as sa

from services.kit.db import new_metadata
from services.kit.tables import kit_tables

metadata = new_metadata()
kit = kit_tables(metadata)

# Each time that an event came, whether or not it had its effect by then.
delivery = sa.Table(
    "delivery",
    metadata,
    sa.Column("source", sa.Text, nullable=False),
    sa.Column("event_id", sa.Uuid, nullable=False),
)
# No key on the event: nothing but the claim of it keeps the effect from happening twice.
effect = sa.Table(
    "effect",
    metadata,
    sa.Column("source", sa.Text, nullable=False),
    sa.Column("event_id", sa.Uuid, nullable=False),
)
