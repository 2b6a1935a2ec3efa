"""The tables of the toy service, which runs under the name `contacts` and follows `sales`."""

from __future__ import annotations

import sqlalchemy as sa

from services.kit.db import new_metadata
from services.kit.tables import kit_tables

metadata = new_metadata()
kit = kit_tables(metadata)

# No key on the value: an effect that happened twice must be seen.
effect = sa.Table(
    "effect",
    metadata,
    sa.Column("id", sa.BigInteger, sa.Identity(), primary_key=True),
    sa.Column("handler", sa.Text, nullable=False),
    sa.Column("value", sa.Text, nullable=False),
    sa.Column("worker", sa.Integer, nullable=False),
)

# Present while a tick runs; a second tick at the same time violates the key.
ticking = sa.Table(
    "ticking", metadata, sa.Column("id", sa.SmallInteger, primary_key=True, autoincrement=False)
)
