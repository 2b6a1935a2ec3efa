"""Values of a file brought to the types that rules know."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping
from datetime import UTC, date, datetime
from decimal import Decimal
from difflib import get_close_matches
from typing import Any

from services.segmentation.cases.nodes import Node
from services.segmentation.cases.problems import FileError
from services.segmentation.rules import ProfileError
from services.segmentation.rules.profile import MAX_AMOUNT, MAX_SCALE, checked_value

_EXPECTED = {
    "int": "a whole number",
    "double": "a number",
    "string": "a text",
    "bool": "true or false",
    "timestamp": "a time such as 2026-03-01T09:30:00Z",
    "strings": "a list of texts",
}


def mapping(node: Node, what: str, known: Collection[str] | None = None) -> Mapping[str, Node]:
    """Return the nodes of a mapping by key, none of which is unknown; nothing is an empty one."""
    if node.value is None:
        return {}
    if not isinstance(node.value, dict):
        raise FileError(node.line, f"{what} must be a mapping of names to values, this is {node.kind}")
    for key in node.value:
        if known is not None and key not in known:
            raise FileError(node.keys[key], unknown(key, what, known))
    return node.value


def unknown(name: str, what: str, known: Collection[str]) -> str:
    """Say that a name is not known, and which is meant or which there are."""
    close = get_close_matches(name, known, 1)
    hint = f"did you mean {close[0]}?" if close else f"there are {', '.join(sorted(known)) or 'none'}"
    return f"{what}: {name!r} is not known; {hint}"


def sequence(node: Node, what: str) -> list[Node]:
    """Return the nodes of a list; nothing is an empty one."""
    if node.value is None:
        return []
    if not isinstance(node.value, list):
        raise FileError(node.line, f"{what} must be a list, this is {node.kind}")
    return node.value


def text(node: Node, what: str) -> str:
    """Return a text."""
    if not isinstance(node.value, str):
        raise FileError(node.line, f"{what} must be a text, this is {node.kind}: write it in quotes")
    return node.value


def texts(node: Node, what: str) -> list[str]:
    """Return a list of texts."""
    return [text(item, what) for item in sequence(node, what)]


def typed(node: Node, kind: str, what: str) -> Any:
    """Return a value of a type of the registry as it is stored, None for nothing."""
    if node.value is None:
        return None
    try:
        return checked_value(kind, _raw(node, kind, what), what)
    except ProfileError as error:
        raise FileError(node.line, str(error)) from error


def _raw(node: Node, kind: str, what: str) -> Any:
    value = node.value
    if kind == "timestamp" and isinstance(value, str):
        return instant(node, what)
    if kind == "strings" and isinstance(value, list):
        return texts(node, what)
    if kind == "double" and isinstance(value, int | Decimal) and not isinstance(value, bool):
        return number(value)
    if (kind == "int" and isinstance(value, int) and not isinstance(value, bool)) or (
        (kind == "string" and isinstance(value, str)) or (kind == "bool" and isinstance(value, bool))
    ):
        return value
    quoted = ": write it in quotes" if kind == "string" and node.text else ""
    raise FileError(node.line, f"{what} must be {_EXPECTED[kind]}, this is {node.kind}{quoted}")


def number(value: int | Decimal) -> float | Decimal:
    """Return a number as the exact decimal that is written where such are kept, else as the nearest double."""
    try:
        near = float(value)
    except OverflowError:
        near = math.inf
    if math.isfinite(near) and abs(near) <= float(MAX_AMOUNT):
        exact = Decimal(value)
        if -int(exact.as_tuple().exponent) <= MAX_SCALE and abs(exact) <= MAX_AMOUNT:
            return exact
    return near


def instant(node: Node, what: str) -> datetime:
    """Return a time; one without a zone is in UTC."""
    if isinstance(node.value, str):
        try:
            found = datetime.fromisoformat(node.value)
            return found.replace(tzinfo=UTC) if found.tzinfo is None else found.astimezone(UTC)
        except (ValueError, OverflowError):
            pass
    raise FileError(
        node.line,
        f"{what} must be {_EXPECTED['timestamp']} of the years 1 to 9999, got {node.text or node.kind!r}",
    )


def day(node: Node, what: str) -> date | None:
    """Return a date, None for nothing."""
    if node.value is None:
        return None
    try:
        return date.fromisoformat(text(node, what))
    except ValueError as error:
        raise FileError(node.line, f"{what} must be a date such as 1990-05-31, got {node.text!r}") from error


def place(node: Node, what: str) -> tuple[float, float] | None:
    """Return latitude and longitude from a pair or a mapping, None for nothing."""
    if node.value is None:
        return None
    if isinstance(node.value, dict):
        parts = mapping(node, what, ("latitude", "longitude"))
        found = [parts[name] for name in ("latitude", "longitude") if name in parts]
    else:
        found = sequence(node, what)
    if len(found) != 2:
        raise FileError(
            node.line, f"{what} must have a latitude and a longitude, such as [10.7769, 106.7009]"
        )
    latitude, longitude = (typed(item, "double", what) for item in found)
    if latitude is None or longitude is None or not (abs(latitude) <= 90 and abs(longitude) <= 180):
        raise FileError(node.line, f"{what}: a latitude lies within 90, a longitude within 180")
    return float(latitude), float(longitude)
