"""Validation of requests by what their proto declares, compiled once per message type into closures.

Checked are google.api.field_behavior REQUIRED, rapport.type.v1.rules, and what no message may carry: NUL
characters (PostgreSQL stores none), numbers that are not finite, unknown enum values, and times, durations
and amounts of money outside of their definition. All violations of a request are collected, each with its
path, as `contacts[3].display_name`.

REQUIRED means: not empty for text, bytes, lists and maps; set for messages and `optional` fields; not zero
for enums. A number or boolean without `optional` cannot be told apart from an unset one, so REQUIRED only
documents there.

In a message with a field `update_mask`, REQUIRED holds inside the masked resource only for the fields that
the mask names (all of them for "*"), as the others keep their value.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from google.api import field_behavior_pb2
from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.message import Message
from rapport.type.v1 import options_pb2

from services.kit.errors import FieldViolation, InvalidArgument
from services.kit.grpc.validation_values import WELL_KNOWN, Reject, check_value

# Where a message stands in the request: (parent's place, field name, index or key). Text is made only for a
# violation.
Place = tuple[Any, str, Any]
# The generated stubs type extensions as plain descriptors.
_RULES: Any = options_pb2.rules

Found = list[tuple[Place, str, bool]]
Inspect = Callable[[Message, Place | None, Found], None]
Check = Callable[[Message], list[FieldViolation]]

_MASK = "update_mask"
_REQUIRED_TEXT = "is required"


def compile_check(descriptor: Descriptor) -> Check | None:
    """Return the function that lists a message's violations, or None when nothing about it can be wrong."""
    inspect = _Compiler().message(descriptor)
    if inspect is None:
        return None
    bound = inspect

    def check(message: Message) -> list[FieldViolation]:
        found: Found = []
        bound(message, None, found)
        return [FieldViolation(_path(place), text) for place, text, _ in found] if found else []

    return check


def violations_error(violations: list[FieldViolation]) -> InvalidArgument:
    """Build the error that names all violations; its text quotes the first three."""
    text = "; ".join(f"{item.field} {item.description}" for item in violations[:3])
    more = f"; and {len(violations) - 3} more" if len(violations) > 3 else ""
    return InvalidArgument(f"invalid request: {text}{more}", reason="INVALID_FIELDS", violations=violations)


class _Compiler:
    """Compile message types; remembers those at hand, so that recursive types end."""

    def __init__(self) -> None:
        self._done: dict[str, Inspect | None] = {}
        self._open: set[str] = set()

    def message(self, descriptor: Descriptor) -> Inspect | None:
        name = descriptor.full_name
        if name in WELL_KNOWN:
            return _well_known(WELL_KNOWN[name])
        if name in self._done:
            return self._done[name]
        if name in self._open:
            return lambda message, place, found: self._later(name, message, place, found)
        self._open.add(name)
        checks = [check for field in descriptor.fields if (check := self._field(field)) is not None]
        self._open.discard(name)
        inspect = _all(checks) if checks else None
        if inspect is not None and _has_mask(descriptor):
            inspect = _masked(inspect)
        self._done[name] = inspect
        return inspect

    def _later(self, name: str, message: Message, place: Place | None, found: Found) -> None:
        inspect = self._done[name]
        if inspect is not None:
            inspect(message, place, found)

    def _field(self, field: FieldDescriptor) -> Inspect | None:
        options = field.GetOptions()
        required = field_behavior_pb2.REQUIRED in options.Extensions[field_behavior_pb2.field_behavior]
        rules: options_pb2.FieldRules = options.Extensions[_RULES]
        if field.message_type is not None and field.message_type.GetOptions().map_entry:
            return self._map(field, required, rules)
        if field.is_repeated:
            return self._repeated(field, required, rules)
        if field.message_type is not None:
            return _single_message(field.name, required, self.message(field.message_type))
        return _scalar(field, required, check_value(field, rules))

    def _repeated(
        self, field: FieldDescriptor, required: bool, rules: options_pb2.FieldRules
    ) -> Inspect | None:
        name, most = field.name, rules.max_items
        item = self.message(field.message_type) if field.message_type is not None else None
        value = check_value(field, rules) if field.message_type is None else None
        if not (required or most or item or value):
            return None

        def inspect(message: Message, place: Place | None, found: Found) -> None:
            items = getattr(message, name)
            count = len(items)
            if not count:
                if required:
                    found.append(((place, name, None), _REQUIRED_TEXT, True))
                return
            if most and count > most:
                found.append(((place, name, None), f"has {count} items, at most {most} are allowed", False))
                return
            if item is not None:
                for index, part in enumerate(items):
                    item(part, (place, name, index), found)
            elif value is not None:
                for index, part in enumerate(items):
                    problem = value(part)
                    if problem is not None:
                        found.append(((place, name, index), problem, False))

        return inspect

    def _map(self, field: FieldDescriptor, required: bool, rules: options_pb2.FieldRules) -> Inspect | None:
        name, most = field.name, rules.max_items
        entry = field.message_type
        assert entry is not None
        key_field, value_field = entry.fields_by_name["key"], entry.fields_by_name["value"]
        key_check = check_value(key_field, options_pb2.FieldRules())
        item = self.message(value_field.message_type) if value_field.message_type is not None else None
        value = check_value(value_field, rules) if value_field.message_type is None else None
        if not (required or most or key_check or item or value):
            return None

        def inspect(message: Message, place: Place | None, found: Found) -> None:
            items = getattr(message, name)
            if not items:
                if required:
                    found.append(((place, name, None), _REQUIRED_TEXT, True))
                return
            if most and len(items) > most:
                found.append(
                    ((place, name, None), f"has {len(items)} entries, at most {most} are allowed", False)
                )
                return
            for key, part in items.items():
                if key_check is not None and (problem := key_check(key)) is not None:
                    found.append(((place, name, key), f"has a key that {problem}", False))
                if item is not None:
                    item(part, (place, name, key), found)
                elif value is not None and (problem := value(part)) is not None:
                    found.append(((place, name, key), problem, False))

        return inspect


def _all(checks: list[Inspect]) -> Inspect:
    if len(checks) == 1:
        return checks[0]

    def inspect(message: Message, place: Place | None, found: Found) -> None:
        for check in checks:
            check(message, place, found)

    return inspect


def _single_message(name: str, required: bool, inner: Inspect | None) -> Inspect | None:
    if inner is None and not required:
        return None

    def inspect(message: Message, place: Place | None, found: Found) -> None:
        if message.HasField(name):
            if inner is not None:
                inner(getattr(message, name), (place, name, None), found)
        elif required:
            found.append(((place, name, None), _REQUIRED_TEXT, True))

    return inspect


def _scalar(field: FieldDescriptor, required: bool, value: Callable[[Any], Reject] | None) -> Inspect | None:
    name = field.name
    if field.has_presence:
        return _optional_scalar(name, required, value)
    numeric = field.cpp_type not in (
        FieldDescriptor.CPPTYPE_STRING,
        FieldDescriptor.CPPTYPE_ENUM,
    )
    if numeric:
        required = False
    if value is None and not required:
        return None

    def inspect(message: Message, place: Place | None, found: Found) -> None:
        content = getattr(message, name)
        if content or numeric:
            if value is not None and (problem := value(content)) is not None:
                found.append(((place, name, None), problem, False))
        elif required:
            found.append(((place, name, None), _REQUIRED_TEXT, True))

    return inspect


def _optional_scalar(name: str, required: bool, value: Callable[[Any], Reject] | None) -> Inspect | None:
    if value is None and not required:
        return None

    def inspect(message: Message, place: Place | None, found: Found) -> None:
        if message.HasField(name):
            if value is not None and (problem := value(getattr(message, name))) is not None:
                found.append(((place, name, None), problem, False))
        elif required:
            found.append(((place, name, None), _REQUIRED_TEXT, True))

    return inspect


def _well_known(check: Callable[[Any], Reject]) -> Inspect:
    def inspect(message: Message, place: Place | None, found: Found) -> None:
        problem = check(message)
        if problem is not None:
            assert place is not None
            found.append((place, problem, False))

    return inspect


def _has_mask(descriptor: Descriptor) -> bool:
    mask = descriptor.fields_by_name.get(_MASK)
    return mask is not None and mask.message_type is not None and mask.message_type.name == "FieldMask"


def _masked(inspect: Inspect) -> Inspect:
    """Drop demands for fields of the resource that an update does not touch."""

    def masked(message: Message, place: Place | None, found: Found) -> None:
        here: Found = []
        inspect(message, place, here)
        if here:
            mask: Any = getattr(message, _MASK)
            paths = tuple(mask.paths)
            depth = _depth(place)
            found.extend(item for item in here if not item[2] or _demanded(_steps(item[0])[depth:], paths))

    return masked


def _demanded(steps: list[str], paths: Iterable[str]) -> bool:
    # The first step is the resource's own field, or a field beside it, which the mask says nothing of.
    if len(steps) < 2 or steps[1] == "name":
        return True
    inner = ".".join(steps[1:])
    return any(
        path == "*" or path == inner or inner.startswith(f"{path}.") or path.startswith(f"{inner}.")
        for path in paths
    )


def _depth(place: Place | None) -> int:
    return len(_steps(place)) if place is not None else 0


def _steps(place: Place) -> list[str]:
    steps: list[str] = []
    at: Place | None = place
    while at is not None:
        steps.append(at[1])
        at = at[0]
    return steps[::-1]


def _path(place: Place) -> str:
    parts: list[str] = []
    at: Place | None = place
    while at is not None:
        parent, name, index = at
        parts.append(
            name if index is None else f"{name}[{index}]" if isinstance(index, int) else f'{name}["{index}"]'
        )
        at = parent
    return ".".join(reversed(parts))
