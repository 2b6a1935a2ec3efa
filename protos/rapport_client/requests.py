"""Build request messages from keywords."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from decimal import Decimal
from difflib import get_close_matches
from numbers import Integral, Real
from typing import Any

from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.duration_pb2 import Duration
from google.protobuf.field_mask_pb2 import FieldMask
from google.protobuf.message import Message
from google.protobuf.timestamp_pb2 import Timestamp


def build(message_class: type[Message], fields: Mapping[str, Any]) -> Message:
    """Return a message with the given fields.

    Beside what protobuf takes: datetime (aware) for Timestamp, timedelta for Duration, a list of paths for
    FieldMask, dicts for messages at any depth. None leaves a field unset. Raises TypeError that names the
    unknown field, and ValueError for a bad value.
    """
    descriptor: Any = message_class.DESCRIPTOR
    _check_names(descriptor, fields)
    ready = {
        name: _convert(descriptor.fields_by_name[name], value)
        for name, value in fields.items()
        if value is not None
    }
    try:
        return message_class(**ready)
    except (TypeError, ValueError) as error:
        raise type(error)(f"{descriptor.full_name}: {error}") from error


def _check_names(descriptor: Descriptor, fields: Mapping[str, Any]) -> None:
    known = list(descriptor.fields_by_name)
    unknown = sorted(set(fields) - set(known))
    if unknown:
        close = get_close_matches(unknown[0], known, 1)
        hint = f": did you mean {close[0]}?" if close else ";"
        raise TypeError(
            f"{descriptor.full_name} has no field {', '.join(unknown)}{hint} it has: {', '.join(known) or 'none'}"
        )


def _convert(field: FieldDescriptor, value: Any) -> Any:
    inner = field.message_type
    if inner is None:
        if (labels := field.enum_type) is not None:
            for label in value if field.is_repeated and not isinstance(value, str) else (value,):
                _check_label(field, list(labels.values_by_name), label)
        else:
            _check_scalars(field, value)
        return value
    if inner.GetOptions().map_entry:
        entry = inner.fields_by_name["value"]
        return {key: _convert(entry, item) for key, item in value.items()}
    if field.is_repeated:
        if isinstance(value, Mapping | str) or not isinstance(value, Iterable):
            raise TypeError(f"{field.full_name} takes a list, got {_shown(value)}")
        return [_checked_message(field, inner, item) for item in value]
    return _checked_message(field, inner, value)


_SCALARS: dict[int, tuple[type | tuple[type, ...], str]] = {
    FieldDescriptor.TYPE_STRING: ((str, bytes), "text"),
    FieldDescriptor.TYPE_BOOL: ((bool, Integral), "True or False"),
    FieldDescriptor.TYPE_DOUBLE: ((Real, Decimal), "a number"),
    FieldDescriptor.TYPE_FLOAT: ((Real, Decimal), "a number"),
    FieldDescriptor.TYPE_INT32: (Integral, "a whole number"),
    FieldDescriptor.TYPE_INT64: (Integral, "a whole number"),
    FieldDescriptor.TYPE_UINT32: (Integral, "a whole number"),
    FieldDescriptor.TYPE_UINT64: (Integral, "a whole number"),
}


def _check_scalars(field: FieldDescriptor, value: Any) -> None:
    """Raise TypeError that names the field; what protobuf itself says names none."""
    types, words = _SCALARS.get(field.type, (object, ""))
    if not field.is_repeated:
        items: Iterable[Any] = (value,)
    elif isinstance(value, Iterable) and not isinstance(value, str | bytes | Mapping):
        items = value if isinstance(value, Sequence) else ()  # a generator can be looked at but once
    else:
        raise TypeError(f"{field.full_name} takes a list, got {_shown(value)}")
    for item in items:
        if not isinstance(item, types):
            raise TypeError(f"{field.full_name} takes {words}, got {_shown(item)}")


def _checked_message(field: FieldDescriptor, inner: Descriptor, value: Any) -> Any:
    made = _message(inner, value)
    if isinstance(made, Message | dict):
        return made
    wanted = _TIMES.get(inner.full_name, "")
    if not inner.full_name.startswith("google.protobuf."):
        wanted = f"a {inner.full_name}, or a dict of {', '.join(inner.fields_by_name)}"
    if wanted:
        raise TypeError(f"{field.full_name} takes {wanted}, got {_shown(value)}")
    return made


_TIMES = {
    "google.protobuf.Timestamp": "a datetime with a time zone",
    "google.protobuf.Duration": "a timedelta",
}


def _shown(value: Any) -> str:
    return f"{type(value).__name__} {str(value)[:60]!r}"


def _check_label(field: FieldDescriptor, names: list[str], label: Any) -> None:
    if isinstance(label, str) and label not in names:
        meant = label.upper()
        close = [name for name in names if name.endswith(f"_{meant}")] or get_close_matches(meant, names, 1)
        hint = f": did you mean {close[0]}?" if close else ";"
        raise ValueError(f"{field.full_name} takes no {label!r}{hint} choices: {', '.join(names)}")


def _message(descriptor: Descriptor, value: Any) -> Any:
    if isinstance(value, Message):
        return value
    match descriptor.full_name, value:
        case "google.protobuf.Timestamp", datetime():
            if value.tzinfo is None:
                raise ValueError(f"the time {value} needs a time zone")
            stamp = Timestamp()
            stamp.FromDatetime(value)
            return stamp
        case "google.protobuf.Duration", timedelta():
            duration = Duration()
            duration.FromTimedelta(value)
            return duration
        case "google.protobuf.FieldMask", str():
            return FieldMask(paths=[value])
        case "google.protobuf.FieldMask", Iterable() if not isinstance(value, Mapping):
            return FieldMask(paths=list(value))
        case name, Mapping() if not name.startswith("google.protobuf."):
            _check_names(descriptor, value)
            return {
                key: _convert(descriptor.fields_by_name[key], item)
                for key, item in value.items()
                if item is not None
            }
    return value
