"""Thousands of values as arrays for `unnest`, written as PostgreSQL's literals.

The driver writes an array an element at a time in Python, which costs more than the statement that takes it; joining
texts does not.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql as pg
from sqlalchemy.types import TypeEngine

_UUIDS = pg.ARRAY(pg.UUID(as_uuid=True))
_TIMES = pg.ARRAY(sa.DateTime(timezone=True))
_TEXTS = pg.ARRAY(sa.Text)
_INTEGERS = pg.ARRAY(sa.BigInteger)
_JSONS = pg.ARRAY(pg.JSONB)


def uuids(values: Iterable[UUID | None]) -> sa.ColumnElement[Any]:
    """Return an array of UUIDs; None is NULL."""
    return _array((str(item) if item else "NULL" for item in values), _UUIDS)


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


class ArrayOf(sa.types.TypeDecorator[Sequence[Any]]):
    """The type of a bound parameter: an array of texts, UUIDs, times, numbers, booleans or bytes; None is NULL."""

    impl = sa.Text
    cache_ok = True

    def __init__(self, kind: TypeEngine[Any]) -> None:
        """kind: of the elements. Raises TypeError for one that is not among them."""
        super().__init__()
        self.kind = kind
        self._write = next((write for of, write in _WRITERS.items() if isinstance(kind, of)), None)
        if self._write is None:
            raise TypeError(f"no array of {kind!r} is written as a literal")

    def process_bind_param(self, value: Sequence[Any] | None, dialect: sa.Dialect) -> str | None:
        """Write the literal."""
        if value is None or self._write is None:
            return None
        write = self._write
        return _literal(["NULL" if item is None else write(item) for item in value])

    def bind_expression(self, bindvalue: sa.BindParameter[Sequence[Any]]) -> sa.ColumnElement[Any]:
        """Let the server read it."""
        return sa.cast(bindvalue, pg.ARRAY(self.kind))


def _quote(value: str) -> str:
    return '"' + value.replace("\\", "\\\\").replace('"', '\\"') + '"'


_WRITERS: Mapping[type[TypeEngine[Any]], Callable[[Any], str]] = {
    sa.String: _quote,
    sa.Uuid: str,
    sa.DateTime: datetime.isoformat,
    sa.Boolean: str,
    sa.Numeric: str,
    sa.Integer: str,
    sa.LargeBinary: lambda value: '"\\\\x' + value.hex() + '"',
}


def _quoted(values: Iterable[str]) -> list[str]:
    return [_quote(item) for item in values]


def _array(elements: Iterable[str], kind: Any) -> sa.ColumnElement[Any]:
    return sa.cast(sa.literal(_literal(elements), sa.Text), kind)


def _literal(elements: Iterable[str]) -> str:
    return "{" + ",".join(elements) + "}"
