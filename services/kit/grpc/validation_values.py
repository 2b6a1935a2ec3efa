"""Checks of single values.

Text, numbers, enums, and the well-known messages. Each returns what is wrong, or None.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping
from typing import Any

from google.protobuf.descriptor import FieldDescriptor
from rapport.type.v1 import options_pb2

Reject = str | None

_UUID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")
_CURRENCY = re.compile(r"[A-Z]{3}")
_MIN_SECONDS = -62135596800  # 0001-01-01T00:00:00Z
_MAX_SECONDS = 253402300799  # 9999-12-31T23:59:59Z
_MAX_DURATION = 315576000000
_MAX_DEPTH = 32


def check_value(field: FieldDescriptor, rules: options_pb2.FieldRules) -> Callable[[Any], Reject] | None:
    """Return the check of one value of a scalar field, or None when each value will do."""
    match field.cpp_type:
        case FieldDescriptor.CPPTYPE_STRING:
            if field.type == FieldDescriptor.TYPE_BYTES:
                return _bytes(rules.max_length) if rules.max_length else None
            return _text(rules.max_length, rules.resource)
        case FieldDescriptor.CPPTYPE_ENUM:
            assert field.enum_type is not None
            return _enum(field.enum_type.full_name, frozenset(field.enum_type.values_by_number))
        case FieldDescriptor.CPPTYPE_BOOL:
            return None
        case FieldDescriptor.CPPTYPE_FLOAT | FieldDescriptor.CPPTYPE_DOUBLE:
            return _number(rules, may_be_infinite=True)
        case _:
            bounded = rules.HasField("minimum") or rules.HasField("maximum")
            return _number(rules, may_be_infinite=False) if bounded else None


def _text(max_length: int, resource: str) -> Callable[[str], Reject]:
    def check(value: str) -> Reject:
        if "\0" in value:
            return "contains a NUL character"
        if max_length and len(value) > max_length:
            return f"has {len(value)} characters, at most {max_length} are allowed"
        if resource and value:
            return resource_problem(value, resource)
        return None

    return check


def resource_problem(value: str, collection: str) -> Reject:
    """Tell what is wrong with a resource name of a collection.

    The id is a lower-case UUID or one that a person chose: 1 to 63 letters, digits, `-`, `_` or `.`; which of
    the two it must be is for the service to say.
    """
    prefix, _, key = value.partition("/")
    if prefix == collection and (
        _UUID.fullmatch(key) or re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]{0,62}", key)
    ):
        return None
    return f"must have the form '{collection}/<id>', got {value[:100]!r}"


def _bytes(max_length: int) -> Callable[[bytes], Reject]:
    def check(value: bytes) -> Reject:
        if len(value) > max_length:
            return f"has {len(value)} bytes, at most {max_length} are allowed"
        return None

    return check


def _enum(name: str, numbers: frozenset[int]) -> Callable[[int], Reject]:
    def check(value: int) -> Reject:
        return None if value in numbers else f"has the unknown value {value} of {name}"

    return check


def _number(rules: options_pb2.FieldRules, *, may_be_infinite: bool) -> Callable[[float], Reject]:
    least = rules.minimum if rules.HasField("minimum") else None
    most = rules.maximum if rules.HasField("maximum") else None

    def check(value: float) -> Reject:
        if may_be_infinite and not math.isfinite(value):
            return "must be a finite number"
        if least is not None and value < least:
            return f"must be at least {least:.15g}, got {value:.15g}"
        if most is not None and value > most:
            return f"must be at most {most:.15g}, got {value:.15g}"
        return None

    return check


def _timestamp(message: Any) -> Reject:
    if not _MIN_SECONDS <= message.seconds <= _MAX_SECONDS:
        return "must lie between the years 1 and 9999"
    return None if 0 <= message.nanos <= 999_999_999 else "has nanos outside of 0 to 999,999,999"


def _duration(message: Any) -> Reject:
    if abs(message.seconds) > _MAX_DURATION:
        return "must lie within 10,000 years"
    if abs(message.nanos) > 999_999_999 or message.seconds * message.nanos < 0:
        return "has nanos outside of 0 to 999,999,999, or of another sign than its seconds"
    return None


def _money(message: Any) -> Reject:
    if not _CURRENCY.fullmatch(message.currency_code):
        return f"needs a currency of three capital letters, such as VND, got {message.currency_code[:20]!r}"
    if abs(message.nanos) > 999_999_999:
        return "has nanos outside of -999,999,999 to 999,999,999"
    if (message.units > 0 > message.nanos) or (message.units < 0 < message.nanos):
        return "has units and nanos of different signs"
    return None


def _struct(message: Any) -> Reject:
    return _fields(message, 0)


def _fields(message: Any, depth: int) -> Reject:
    if depth > _MAX_DEPTH:
        return f"is nested more than {_MAX_DEPTH} levels deep"
    for key, value in message.fields.items():
        problem = "has a key with a NUL character" if "\0" in key else _json(value, depth)
        if problem is not None:
            return problem
    return None


def _json(value: Any, depth: int) -> Reject:
    match value.WhichOneof("kind"):
        case "number_value":
            return None if math.isfinite(value.number_value) else "holds a number that is not finite"
        case "string_value":
            return "holds text with a NUL character" if "\0" in value.string_value else None
        case "struct_value":
            return _fields(value.struct_value, depth + 1)
        case "list_value":
            return _list(value.list_value, depth + 1)
        case None:
            return "holds a value of no kind"
    return None


def _list(message: Any, depth: int = 0) -> Reject:
    if depth > _MAX_DEPTH:
        return f"is nested more than {_MAX_DEPTH} levels deep"
    return next((problem for item in message.values if (problem := _json(item, depth)) is not None), None)


def _value(message: Any) -> Reject:
    return _json(message, 0)


def _mask(message: Any) -> Reject:
    if len(message.paths) > 100:
        return "names more than 100 fields"
    for path in message.paths:
        if not re.fullmatch(r"\*|[a-z][a-z0-9_]*(\.[a-z0-9_]+)*", path):
            return f"holds {path[:60]!r}, which is no field path in snake_case"
    return None


def _anything(_message: Any) -> Reject:
    return None


WELL_KNOWN: Mapping[str, Callable[[Any], Reject]] = {
    "google.protobuf.Timestamp": _timestamp,
    "google.protobuf.Duration": _duration,
    "google.protobuf.Struct": _struct,
    "google.protobuf.ListValue": _list,
    "google.protobuf.Value": _value,
    "google.protobuf.FieldMask": _mask,
    "google.protobuf.Any": _anything,
    "google.rpc.Status": _anything,
    "rapport.type.v1.Money": _money,
}
