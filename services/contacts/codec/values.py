"""Attribute values, fields and times on the wire."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from google.protobuf.timestamp_pb2 import Timestamp
from rapport.contacts.v1 import contacts_pb2 as pb

from services.contacts.domain.attributes import Value
from services.contacts.domain.errors import Refused
from services.kit.errors import InvalidArgument
from services.kit.wire import from_timestamp, to_timestamp


def decode_value(message: pb.AttributeValue) -> Value | None:
    """Return the value, or None when none is set."""
    kind = message.WhichOneof("value")
    if kind is None:
        return None
    if kind == "strings_value":
        return tuple(message.strings_value.values)
    if kind == "timestamp_value":
        return decode_time(message.timestamp_value)
    value: Value = getattr(message, kind)
    return value


def encode_value(value: Value) -> pb.AttributeValue:
    """Return the message of a value."""
    match value:
        case str():
            return pb.AttributeValue(string_value=value)
        case bool():
            return pb.AttributeValue(bool_value=value)
        case int():
            return pb.AttributeValue(int_value=value)
        case float():
            return pb.AttributeValue(double_value=value)
        case datetime():
            return pb.AttributeValue(timestamp_value=to_timestamp(value))
        case tuple():
            return pb.AttributeValue(strings_value=pb.StringList(values=value))
    raise TypeError(type(value).__name__)


def encode_values(values: Mapping[str, Value]) -> dict[str, pb.AttributeValue]:
    """Return the messages of values by name."""
    return {name: encode_value(value) for name, value in values.items()}


def decode_time(stamp: Timestamp) -> datetime:
    """Return a time in UTC, cut to the microsecond; raises Refused when it is out of range."""
    try:
        return from_timestamp(stamp)
    except InvalidArgument as error:
        raise Refused(error.violations[0].description) from None


def optional_time(message: Any, field: str) -> datetime | None:
    """Return the time in a field, None when it is unset; raises Refused when it is out of range."""
    return decode_time(getattr(message, field)) if message.HasField(field) else None
