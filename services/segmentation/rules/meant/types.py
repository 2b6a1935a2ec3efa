"""Values of types that do not go together: lists compared with texts, numbers in quotes, times written as texts."""

from __future__ import annotations

import re

from services.segmentation.rules.meant.source import Meant, Source, quoted
from services.segmentation.rules.registry import EventType, Registry

_OVERLOAD = re.compile(r"found no matching overload for '([^']+)' applied to '(?:(.*)\.)?\((.*)\)'")
_SELECT = re.compile(r"expression of type '(.*)' cannot be the operand of a select operation")
_EVENTS = re.compile(r"list\((?:rapport\.rules\.)?Event_(\w+)\)")
_DATE = re.compile(r"\d{4}-\d\d-\d\d")
_NUMBER = re.compile(r"-?\d+(\.\d+)?")
_COMPARISONS = ("==", "!=", "<", "<=", ">", ">=")
_SUMS = ("+", "-", "*", "/", "%")
_MIXED = (
    "whole numbers and decimals do not mix: write decimals with a point (1000.0) or convert with double()"
)
_TYPES = {
    "string": "a text",
    "int": "a whole number",
    "double": "a decimal number",
    "bool": "a truth value",
    "null_type": "null",
    "timestamp": "a time",
    "google.protobuf.Timestamp": "a time",
    "duration": "a length of time",
    "google.protobuf.Duration": "a length of time",
    "list(string)": "a list of texts",
}
_TIMES = ("timestamp", "google.protobuf.Timestamp")
_LENGTHS = ("duration", "google.protobuf.Duration")
_EXAMPLES = {"string": '"…"', "int": "1", "double": "1.0", "bool": "true", "timestamp": "now"}


def explain(message: str, source: Source, registry: Registry) -> Meant | None:
    """Return a message on types in words, with what to write instead; None for other mistakes."""
    if found := _SELECT.fullmatch(message):
        said = _selected(found[1], source, registry)
        return (said, source.place) if said else None
    if found := _OVERLOAD.fullmatch(message):
        said = _applied(found[1], [*filter(None, [found[2]]), *found[3].split(", ")], source, registry)
        return (said, source.place) if said else None
    return None


def _selected(kind: str, source: Source, registry: Registry) -> str:
    """Explain a field that is asked of a list."""
    index = source.index()
    dot = index if source.is_sign(index, ".") else index - 1
    name = source.piece(dot + 1)
    of = source.left_of(dot) or "the list"
    field = name.text if name is not None else ""
    if field in ("size", "count", "length"):
        return f"{of} is a list: count what is in it by {of}.size()"
    if event := _event(kind, registry):
        return f"{of} is a list of events, without fields of its own: {_asked(of, event, field)}"
    if kind == "list(string)":
        return f"{of} is a list of texts, without fields: write {quoted(field)} in {of}"
    return ""


def _event(kind: str, registry: Registry) -> EventType | None:
    found = _EVENTS.fullmatch(kind)
    return registry.events_by_cel_name.get(found[1]) if found else None


def _asked(of: str, event: EventType, field: str = "") -> str:
    """Say how the events of a list are asked, by a field if it has one."""
    of = of if of.startswith("events.") else f"events.{event.cel_name}"
    known = {item.name: item.type for item in event.fields} | {"time": "timestamp"}
    name = field if field in known else next(iter(known))
    example = "now - e.time <= days(30)" if name == "time" else f"e.{name} == {_EXAMPLES[known[name]]}"
    return f"write {of}.exists(e, {example}), or count them by {of}.size()"


def _applied(operator: str, kinds: list[str], source: Source, registry: Registry) -> str:
    sign = operator.strip("_") if operator.startswith("_") else operator.removeprefix("@")
    if len(kinds) != 2:
        return ""
    if set(kinds) == {"int", "double"} and sign in (*_COMPARISONS, *_SUMS):
        return _MIXED
    index = source.index()
    left, right = source.left_of(index), source.right_of(index)
    if sign in ("contains", "startsWith", "endsWith") and kinds[0] == "list(string)":
        return _contained(kinds, source, index)
    words = [_in_words(kind, registry) for kind in kinds]
    if sign == "in":
        hint = _membership(kinds, left, right)
        said = f"in looks for a value in a list, and not for {words[0]} in {words[1]}"
    elif sign in _COMPARISONS:
        hint = _comparison(sign, kinds, left, right, registry) or _moment(kinds, source)
        said = f"{words[0]} is not compared with {words[1]} by {sign}"
    elif sign in _SUMS:
        hint = _length(kinds, right) if sign in ("+", "-") else ""
        said = f"{sign} does not go with {words[0]} and {words[1]}"
    else:
        return ""
    return f"{said}: {hint}" if hint else said


def _in_words(kind: str, registry: Registry) -> str:
    event = _event(kind, registry)
    return f"a list of events ({event.cel_name})" if event else _TYPES.get(kind, kind)


def _contained(kinds: list[str], source: Source, index: int) -> str:
    # The place is the bracket behind the method's name.
    open_ = index if source.is_sign(index, "(") else index + 1
    of = source.left_of(open_).rpartition(".")[0] or "the list"
    value = source.piece(open_ + 1)
    given = value.text if value is not None and value.kind == "text" else '"…"'
    return f"{of} is a list of texts, which has no such function: write {given} in {of}"


def _membership(kinds: list[str], left: str, right: str) -> str:
    if kinds[0].startswith("list(") and not kinds[1].startswith("list("):
        return f"write {right or 'the value'} in {left or 'the list'}"
    if kinds == ["string", "string"]:
        return f"write {right or 'the text'}.contains({left or '…'})"
    return ""


def _comparison(sign: str, kinds: list[str], left: str, right: str, registry: Registry) -> str:
    pairs = list(zip(kinds, (left, right), strict=True))
    for (kind, of), (other, value) in (pairs, pairs[::-1]):
        if event := _event(kind, registry):
            if other == "int":
                return f"count the events: {of or f'events.{event.cel_name}'}.size() {sign} {value or '1'}"
            return _asked(of, event, _field_of(event, other))
        if kind == "list(string)" and other == "string":
            inside = f"{value or _EXAMPLES['string']} in {of or 'the list'}"
            return f"write !({inside})" if sign == "!=" else f"write {inside}"
        if kind in _LENGTHS:
            return _length([kind, other], value)
        if kind in ("int", "double") and other == "string":
            plain = value.strip("\"'")
            number = f"{plain}.0" if kind == "double" and plain.isdigit() else plain
            return f"write the number without quotes: {number}" if _NUMBER.fullmatch(plain) else ""
        if kind == "bool" and other == "string":
            plain = value.strip("\"'").lower()
            return f"write {'false' if plain in ('false', 'no', '0') else 'true'}, without quotes"
        if kind == "string" and other in ("int", "double", "bool"):
            return f"write texts in quotes: {quoted(value or '…')}"
    return ""


def _field_of(event: EventType, kind: str) -> str:
    return next((item.name for item in event.fields if item.type == kind), "")


def _moment(kinds: list[str], source: Source) -> str:
    """Say how a moment is written that was written as a text or as a calculation."""
    if set(kinds) & set(_TIMES) and set(kinds) & {"string", "int"}:
        found = _DATE.search(source.text, source.offset) or _DATE.search(source.text)
        return f'write times as timestamp("{found[0] if found else "2026-01-31"}T00:00:00Z")'
    return ""


def _length(kinds: list[str], value: str) -> str:
    if kinds[1] == "int" and (kinds[0] in _TIMES or kinds[0] in _LENGTHS):
        return f"write lengths of time as days({value or 30}), hours() or minutes()"
    return ""
