"""Rows that travel to the database as one array for each column."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import sqlalchemy as sa
from sqlalchemy.types import TypeEngine

from services.kit.arrays import ArrayOf


def unnest(columns: Mapping[str, TypeEngine[Any]]) -> sa.TableValuedAlias:
    """Return a table `item` of the bound parameters, which are lists of equal length by column name."""
    arrays = [sa.bindparam(name, type_=ArrayOf(kind)) for name, kind in columns.items()]
    values = [sa.column(name, kind) for name, kind in columns.items()]
    return sa.func.unnest(*arrays).table_valued(*values, name="item").render_derived()
