"""Messages of the API as YAML trees: fields by their names, durations as `3d` and `1h30m`, times of day as `22:00`.

What a message does not say is left out; what a tree leaves out is empty.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import Message
from ruamel.yaml.comments import CommentedMap, CommentedSeq

from services.cli.documents import Place, Problems, faithful, must_be

_UNITS = {"w": 604_800, "d": 86_400, "h": 3_600, "m": 60, "s": 1}
_DURATION = re.compile(r"(?:\d+w)?(?:\d+d)?(?:\d+h)?(?:\d+m)?(?:\d+(?:\.\d{1,6})?s)?")
_PART = re.compile(r"(\d+(?:\.\d+)?)([wdhms])")
_CLOCK = re.compile(r"(\d\d):(\d\d)")
_SPAN, _MINUTES = "rapport.campaign.v1.DaySpan", "_minute"
_BLOCKS = {"condition", "rule", "text", "html", "mjml"}
_INTEGERS = (FieldDescriptor.CPPTYPE_INT32, FieldDescriptor.CPPTYPE_INT64)
_FLOATS = (FieldDescriptor.CPPTYPE_DOUBLE, FieldDescriptor.CPPTYPE_FLOAT)

Field = Any
"""A FieldDescriptor; its types differ between implementations of protobuf."""
Extra = Callable[[Message, str, Any, str, Place], bool]
"""Takes a key of its own (message, key, value, path, place) and says whether it did."""


class Reader:
    """Read trees of one file into messages, and note the place of each field under its path: `journey.steps[2].id`."""

    def __init__(self, file: Path, problems: Problems, extra: Extra) -> None:
        """Note what is wrong in `problems`."""
        self.places: dict[str, Place] = {}
        self._file, self._problems, self._extra = file, problems, extra

    def fill(
        self, message: Message, tree: Any, path: str, place: Place, keys: Collection[str] | None = None
    ) -> None:
        """Fill a message from a map; keys: those of its fields that may be given, None for all."""
        self.places[path] = place
        if not isinstance(tree, CommentedMap):
            self._problems.add(place, f"{path} must be keys and values{_is(tree)}")
            return
        fields: dict[str, Field] = {_key(field): field for field in message.DESCRIPTOR.fields}
        known = [name for name in fields if keys is None or name in keys]
        for key, value in tree.items():
            at = Place(self._file, tree.lc.key(key)[0] + 1)
            where = f"{path}.{key}"
            self.places[where] = at
            if isinstance(key, str) and self._extra(message, key, value, path, at):
                continue
            if key not in known:
                self._problems.add(at, f"unknown key {key!r} in {path}; there are {', '.join(known)}")
                continue
            field = fields[key]
            self.places[f"{path}.{field.name}"] = at
            if (group := field.containing_oneof) is not None and (other := message.WhichOneof(group.name)):
                self._problems.add(at, f"{path} has {other} already: it is one or the other")
                continue
            self._field(message, field, value, where, at)

    def _field(self, message: Message, field: Field, value: Any, path: str, at: Place) -> None:
        if not field.is_repeated:
            self._single(message, field, value, path, at)
            return
        if not isinstance(value, CommentedSeq):
            self._problems.add(at, must_be(path, list, value))
            return
        for index, item in enumerate(value):
            place = Place(self._file, value.lc.item(index)[0] + 1)
            inner = f"{path}[{index}]"
            self.places[inner] = place
            if field.message_type is not None:
                self.fill(getattr(message, field.name).add(), item, inner, place)
            elif (made := self._scalar(field, item, inner, place)) is not None:
                getattr(message, field.name).append(made)

    def _single(self, message: Message, field: Field, value: Any, path: str, at: Place) -> None:
        kind = field.message_type
        if kind is None:
            if (made := self._scalar(field, value, path, at)) is not None:
                setattr(message, field.name, made)
        elif kind.full_name == "google.protobuf.Duration":
            if (length := self._parsed(duration, value, path, at)) is not None:
                getattr(message, field.name).FromTimedelta(length)
        elif kind.full_name == "google.protobuf.Timestamp":
            if (moment := self._parsed(_moment, value, path, at)) is not None:
                getattr(message, field.name).FromDatetime(moment)
        else:
            inner = getattr(message, field.name)
            # A step may have nothing to say but its kind.
            inner.SetInParent()
            self.fill(inner, value, path, at)

    def _scalar(self, field: Field, value: Any, path: str, at: Place) -> Any:
        """Return a value for a field, or None when it is none, which is noted."""
        if field.enum_type is not None:
            names = _enum_names(field)
            if isinstance(value, str) and value in names:
                return names[value]
            self._problems.add(at, f"{path} must be one of {', '.join(names)}, is {value!r}")
            return None
        if field.containing_type.full_name == _SPAN and field.name.endswith(_MINUTES):
            return self._parsed(_minutes, value, path, at)
        kind = field.cpp_type
        expected: type
        if kind == FieldDescriptor.CPPTYPE_BOOL:
            expected, fine = bool, isinstance(value, bool)
        elif kind in _INTEGERS:
            most = 2**31 if kind == FieldDescriptor.CPPTYPE_INT32 else 2**63
            expected, fine = int, isinstance(value, int) and not isinstance(value, bool)
            if fine and not -most <= value < most:
                self._problems.add(at, f"{path} is out of range: {value}")
                return None
        elif kind in _FLOATS:
            expected, fine = float, isinstance(value, (int, float)) and not isinstance(value, bool)
        else:
            expected, fine = str, isinstance(value, str)
        if not fine:
            self._problems.add(at, must_be(path, expected, value))
            return None
        return expected(value)

    def _parsed(self, parse: Callable[[str], Any], value: Any, path: str, at: Place) -> Any:
        if not isinstance(value, str):
            self._problems.add(at, must_be(path, str, value))
            return None
        try:
            return parse(value)
        except ValueError as error:
            self._problems.add(at, f"{path}: {value!r} is {error}")
            return None


def _is(tree: Any) -> str:
    return ", is nothing" if tree is None else f", is {tree!r}"[:60]


def _key(field: Field) -> str:
    """Return how a tree calls a field."""
    if field.containing_type.full_name == _SPAN:
        return str(field.name).removesuffix(_MINUTES)
    return str(field.name)


def _enum_names(field: Field) -> Mapping[str, int]:
    """Return the values of an enum by their names without its own; the unspecified one is left out."""
    kind = field.enum_type
    prefix = re.sub(r"(?<!^)(?=[A-Z])", "_", kind.name).upper() + "_"
    return {item.name.removeprefix(prefix).lower(): item.number for item in kind.values if item.number}


def duration(text: str) -> timedelta:
    """Return the length that a text such as "3d" or "1h30m" says; raises ValueError."""
    if not text or not _DURATION.fullmatch(text):
        raise ValueError(
            "no duration: write weeks, days, hours, minutes and seconds such as 2w, 3d, 1h30m or 45s"
        )
    try:
        return sum(
            (timedelta(seconds=float(number) * _UNITS[unit]) for number, unit in _PART.findall(text)),
            timedelta(0),
        )
    except OverflowError:
        raise ValueError("longer than can be said") from None


def duration_text(length: timedelta) -> str:
    """Return the text of a length, which `duration` reads."""
    seconds, rest = divmod(length // timedelta(microseconds=1), 1_000_000)
    parts = []
    for unit in ("d", "h", "m"):
        count, seconds = divmod(seconds, _UNITS[unit])
        if count:
            parts.append(f"{count}{unit}")
    if rest:
        parts.append(f"{seconds}.{rest:06d}".rstrip("0") + "s")
    elif seconds or not parts:
        parts.append(f"{seconds}s")
    return "".join(parts)


def _moment(text: str) -> datetime:
    try:
        made = datetime.fromisoformat(text)
    except ValueError:
        made = None
    if made is None or made.tzinfo is None:
        raise ValueError("no moment: write one such as 2026-03-01T00:00:00Z")
    return made.astimezone(UTC)


def _minutes(text: str) -> int:
    found = _CLOCK.fullmatch(text)
    if found is None or int(found[2]) > 59 or int(found[1]) * 60 + int(found[2]) > 1440:
        raise ValueError('no time of day: write "00:00" to "24:00"')
    return int(found[1]) * 60 + int(found[2])


def tree_of(message: Message, keys: Sequence[str] | None = None) -> CommentedMap:
    """Return the tree of a message; keys: the fields that it may have, in their order, None for all."""
    node = CommentedMap()
    fields: dict[str, Field] = {field.name: field for field in message.DESCRIPTOR.fields}
    for name in fields if keys is None else keys:
        field = fields[name]
        if field.is_repeated:
            values = getattr(message, name)
            if values:
                node[_key(field)] = _list(field, values)
        elif message.HasField(name) if field.has_presence else getattr(message, name):
            node[_key(field)] = _value(field, getattr(message, name))
        elif field.containing_type.full_name == _SPAN:
            # Midnight is a time, too.
            node[_key(field)] = _value(field, getattr(message, name))
    return node


def _list(field: Field, values: Any) -> Any:
    made = CommentedSeq([_value(field, item) for item in values])
    if field.message_type is None and field.cpp_type in _INTEGERS:
        made.fa.set_flow_style()
    return made


def _value(field: Field, value: Any) -> Any:
    kind = field.message_type
    if kind is not None:
        if kind.full_name == "google.protobuf.Duration":
            return duration_text(value.ToTimedelta())
        if kind.full_name == "google.protobuf.Timestamp":
            return faithful(value.ToJsonString())
        return tree_of(value)
    if field.enum_type is not None:
        return next(name for name, number in _enum_names(field).items() if number == value)
    if field.containing_type.full_name == _SPAN and field.name.endswith(_MINUTES):
        return faithful(f"{value // 60:02d}:{value % 60:02d}")
    if isinstance(value, str):
        return faithful(value, block=field.name in _BLOCKS and "\n" in value)
    return value
