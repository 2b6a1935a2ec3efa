"""Arrays as PostgreSQL writes them: a text is given over many times faster than the list that it stands for."""

from __future__ import annotations

from collections.abc import Iterable
from uuid import UUID


def of_ids(ids: Iterable[UUID]) -> str:
    """Return the text of a uuid[]."""
    return f"{{{','.join([id_.hex for id_ in ids])}}}"


def of_numbers(numbers: Iterable[int]) -> str:
    """Return the text of an int[] or bigint[]."""
    return f"{{{','.join(map(str, numbers))}}}"


def of_texts(texts: Iterable[str]) -> str:
    """Return the text of a text[]."""
    return f"{{{','.join(map(_quoted, texts))}}}"


def of_bytes(values: Iterable[bytes]) -> str:
    """Return the text of a bytea[]."""
    return f"{{{','.join(_quoted(chr(92) + 'x' + value.hex()) for value in values)}}}"


def _quoted(text: str) -> str:
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'
