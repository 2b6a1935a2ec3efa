"""Literals and casts as SQL text.

Literals are written into the statement, not bound: a batch of hundreds of rules would otherwise carry
thousands of parameters, and each execution would pay for them. Quoting relies on standard_conforming_strings
(PostgreSQL's default).
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import BigInteger, Boolean, DateTime, Float, Interval, Text, literal_column, select
from sqlalchemy.sql.elements import ColumnElement

TEXT_C = Text(collation="C")
TIME = DateTime(timezone=True)


def quoted(text: str) -> str:
    """Return a SQL string literal; U+0000 cannot be stored and is refused."""
    if "\0" in text:
        raise ValueError("a text cannot contain the character U+0000")
    return "'" + text.replace("'", "''") + "'"


def text_literal(text: str) -> ColumnElement[str]:
    """Return a text literal."""
    return literal_column(f"{quoted(text)}::text", TEXT_C)


def literal(value: object) -> ColumnElement[Any]:
    """Return the SQL literal of a constant of the rule."""
    if value is None:
        return literal_column("NULL::text", Text())
    if isinstance(value, bool):
        return literal_column("true" if value else "false", Boolean())
    if isinstance(value, int):
        return literal_column(f"'{value}'::bigint", BigInteger())
    if isinstance(value, float):
        return literal_column(f"'{value!r}'::float8", Float(53))
    if isinstance(value, str):
        return text_literal(value)
    if isinstance(value, datetime):
        return literal_column(
            f"'{value.strftime('%m-%d %H:%M:%S.%f').join((f'{value.year:04d}-', '+00'))}'::timestamptz", TIME
        )
    if isinstance(value, timedelta):
        return interval(value)
    raise TypeError(f"no SQL literal for {type(value).__name__}")


def computed_once(column: ColumnElement[Any]) -> ColumnElement[Any]:
    """Return a sub-select of an expression without columns, which PostgreSQL computes once a statement."""
    return select(column).scalar_subquery()


def interval(value: timedelta) -> ColumnElement[timedelta]:
    """Return an interval of whole seconds and microseconds, never of days (a day is 86,400 s here)."""
    microseconds = value // timedelta(microseconds=1)
    sign, rest = ("-", -microseconds) if microseconds < 0 else ("", microseconds)
    return literal_column(f"'{sign}{rest // 1_000_000}.{rest % 1_000_000:06d} seconds'::interval", Interval())
