"""Build request messages from keywords."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta
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
    unknown = sorted(set(fields) - set(descriptor.fields_by_name))
    if unknown:
        known = ", ".join(descriptor.fields_by_name) or "none"
        raise TypeError(f"{descriptor.full_name} has no field {', '.join(unknown)}; it has: {known}")
    ready = {
        name: _convert(descriptor.fields_by_name[name], value)
        for name, value in fields.items()
        if value is not None
    }
    try:
        return message_class(**ready)
    except (TypeError, ValueError) as error:
        raise type(error)(f"{descriptor.full_name}: {error}") from error


def _convert(field: FieldDescriptor, value: Any) -> Any:
    inner = field.message_type
    if inner is None:
        return value
    if inner.GetOptions().map_entry:
        entry = inner.fields_by_name["value"]
        return {key: _convert(entry, item) for key, item in value.items()}
    if field.is_repeated:
        return [_message(inner, item) for item in value]
    return _message(inner, value)


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
            unknown = sorted(set(value) - set(descriptor.fields_by_name))
            if unknown:
                raise TypeError(f"{name} has no field {', '.join(unknown)}")
            return {
                key: _convert(descriptor.fields_by_name[key], item)
                for key, item in value.items()
                if item is not None
            }
    return value
