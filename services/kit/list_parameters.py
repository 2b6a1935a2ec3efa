"""Lists as parameters of statements, written in one piece where all elements are of one plain type.

The driver writes a list an element at a time in Python, which for the batches of a thousand that go over here costs
more than the statement that takes them. Anything out of the ordinary is left to the driver.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

import psycopg
from psycopg.types.array import ListDumper

_WRITTEN_ALIKE: dict[type, Callable[[Any], str]] = {
    UUID: lambda item: item.hex,
    int: str,
    bool: lambda item: "t" if item else "f",
    Decimal: str,
    datetime: datetime.isoformat,
}
"""What PostgreSQL reads back without quotes."""


class QuickListDumper(ListDumper):
    """Write a list as PostgreSQL's literal of an array."""

    def dump(self, obj: list[Any]) -> Any:
        """Return the literal; the types of the elements have been looked at before."""
        kinds = set(map(type, obj))
        holes = type(None) in kinds
        kinds.discard(type(None))
        literal = None
        if len(kinds) == 1:
            kind = kinds.pop()
            if kind is str:
                literal = None if holes else _texts(obj)
            elif write := _WRITTEN_ALIKE.get(kind):
                literal = ",".join(["NULL" if item is None else write(item) for item in obj])
        return super().dump(obj) if literal is None else f"{{{literal}}}".encode()


def _texts(items: Sequence[str]) -> str | None:
    """Return texts between quotes; None when one holds what PostgreSQL takes nowhere, which the driver refuses."""
    joined = "\x00".join(items)
    if joined.count("\x00") >= len(items):
        return None
    if '"' in joined or "\\" in joined:
        joined = joined.replace("\\", "\\\\").replace('"', '\\"')
    return '"' + joined.replace("\x00", '","') + '"'


def register(connection: psycopg.Connection[Any]) -> None:
    """Let a connection write its lists this way."""
    connection.adapters.register_dumper(list, QuickListDumper)
