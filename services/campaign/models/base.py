"""The metadata of campaign, the kit's tables, and the columns that its tables are made of."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from sqlalchemy import Column
from sqlalchemy.dialects import postgresql as pg

from services.kit.db import new_metadata
from services.kit.gone import gone_table
from services.kit.tables import kit_tables

metadata = new_metadata()
kit = kit_tables(metadata)
contact_gone = gone_table(metadata)


def id_(name: str, **options: Any) -> Column[Any]:
    """Return a column of UUIDs."""
    return Column(name, pg.UUID(as_uuid=True), **options)


def time_(name: str, *, nullable: bool = False, **options: Any) -> Column[Any]:
    """Return a column of times with their zone."""
    return Column(name, sa.DateTime(timezone=True), nullable=nullable, **options)


def text_(name: str, **options: Any) -> Column[str]:
    """Return a column of text for people."""
    return Column(name, sa.Text, nullable=False, **options)


def exact_(name: str, **options: Any) -> Column[str]:
    """Return a column of text for machines, which compares and sorts byte by byte."""
    return Column(name, sa.Text(collation="C"), nullable=False, **options)
