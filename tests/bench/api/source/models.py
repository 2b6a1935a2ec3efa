"""The kit's tables alone."""

from __future__ import annotations

from services.kit.db import new_metadata
from services.kit.tables import kit_tables

metadata = new_metadata()
kit = kit_tables(metadata)
