"""Rows that travel to the database as one array for each column."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql as pg
from sqlalchemy.types import TypeEngine


def unnest(columns: Mapping[str, TypeEngine[Any]]) -> sa.TableValuedAlias:
    """Return a table `item` of the bound parameters, which are lists of equal length by column name."""
    arrays = [sa.bindparam(name, type_=pg.ARRAY(kind)) for name, kind in columns.items()]
    values = [sa.column(name, kind) for name, kind in columns.items()]
    return sa.func.unnest(*arrays).table_valued(*values, name="item").render_derived()
