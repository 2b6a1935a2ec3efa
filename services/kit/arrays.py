"""Thousands of values as arrays for `unnest`, written as PostgreSQL's literals.

The driver writes an array an element at a time in Python, which costs more than the statement that takes it; joining
texts does not.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql as pg

_UUIDS = pg.ARRAY(pg.UUID(as_uuid=True))
_TIMES = pg.ARRAY(sa.DateTime(timezone=True))
_TEXTS = pg.ARRAY(sa.Text)
_INTEGERS = pg.ARRAY(sa.BigInteger)
_JSONS = pg.ARRAY(pg.JSONB)


def uuids(values: Iterable[UUID | None]) -> sa.ColumnElement[Any]:
    """Return an array of UUIDs; None is NULL."""
    return _array((item.hex if item else "NULL" for item in values), _UUIDS)


def integers(values: Iterable[int]) -> sa.ColumnElement[Any]:
    """Return an array of integers of up to 64 bits."""
    return _array(map(str, values), _INTEGERS)


def times(values: Iterable[datetime | None]) -> sa.ColumnElement[Any]:
    """Return an array of times with their zones; None is NULL."""
    return _array(("NULL" if item is None else item.isoformat() for item in values), _TIMES)


def texts(values: Iterable[str]) -> sa.ColumnElement[Any]:
    """Return an array of texts, whatever is in them but NUL, which PostgreSQL takes nowhere."""
    return _array(_quoted(values), _TEXTS)


def objects(values: Iterable[Mapping[str, Any] | None]) -> sa.ColumnElement[Any]:
    """Return an array of JSON objects; None is NULL."""
    found = [None if item is None else json.dumps(dict(item), ensure_ascii=False) for item in values]
    quoted = _quoted("" if item is None else item for item in found)
    return _array(
        ("NULL" if item is None else text for item, text in zip(found, quoted, strict=True)), _JSONS
    )


def _quoted(values: Iterable[str]) -> list[str]:
    return ['"' + item.replace("\\", "\\\\").replace('"', '\\"') + '"' for item in values]


def _array(elements: Iterable[str], kind: Any) -> sa.ColumnElement[Any]:
    return sa.cast(sa.literal("{" + ",".join(elements) + "}", sa.Text), kind)
