"""Times, durations and enums between Python and protobuf."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from google.protobuf.duration_pb2 import Duration
from google.protobuf.internal.enum_type_wrapper import EnumTypeWrapper
from google.protobuf.message import Message
from google.protobuf.timestamp_pb2 import Timestamp

from services.kit.errors import InvalidArgument

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def to_timestamp(instant: datetime) -> Timestamp:
    """Return the message of an aware time, exact to the microsecond.

    Raises ValueError for a time without a zone.
    """
    if instant.tzinfo is None:
        raise ValueError(f"the time {instant} has no zone")
    # Integers only: datetime.timestamp() is a float, which loses microseconds.
    microseconds = (instant - _EPOCH) // timedelta(microseconds=1)
    seconds, rest = divmod(microseconds, 1_000_000)
    return Timestamp(seconds=seconds, nanos=rest * 1000)


def from_timestamp(stamp: Timestamp, field: str = "time") -> datetime:
    """Return the time in UTC, cut to the microsecond.

    Raises InvalidArgument that names the field when out of range.
    """
    try:
        return _EPOCH + timedelta(seconds=stamp.seconds, microseconds=stamp.nanos // 1000)
    except OverflowError as error:
        raise InvalidArgument.field(field, "must lie between the years 1 and 9999") from error


def set_timestamp(field: Timestamp, instant: datetime | None) -> None:
    """Fill a Timestamp field of a message, such as `message.create_time`; None leaves it unset."""
    if instant is not None:
        field.CopyFrom(to_timestamp(instant))


def get_timestamp(message: Message, field: str) -> datetime | None:
    """Return the time in a field of a message, None when it is unset.

    Raises InvalidArgument when out of range.
    """
    return from_timestamp(getattr(message, field), field) if message.HasField(field) else None


def to_duration(length: timedelta) -> Duration:
    """Return the message of a length of time, exact to the microsecond."""
    microseconds = length // timedelta(microseconds=1)
    seconds, rest = divmod(abs(microseconds), 1_000_000)
    sign = -1 if microseconds < 0 else 1
    return Duration(seconds=sign * seconds, nanos=sign * rest * 1000)


def from_duration(duration: Duration, field: str = "duration") -> timedelta:
    """Return the length of time, cut to the microsecond.

    Raises InvalidArgument that names the field when too long.
    """
    try:
        sign = -1 if duration.nanos < 0 else 1
        return timedelta(seconds=duration.seconds, microseconds=sign * (abs(duration.nanos) // 1000))
    except OverflowError as error:
        raise InvalidArgument.field(field, "is too long") from error


def get_duration(message: Message, field: str) -> timedelta | None:
    """Return the length of time in a field of a message, None when it is unset."""
    return from_duration(getattr(message, field), field) if message.HasField(field) else None


def enum_text(enum: EnumTypeWrapper, number: int) -> str:
    """Return an enum value as stored: its name without the enum's prefix, in lower case; "" for UNSPECIFIED.

    `CASE_STATE_OPEN` of the enum CaseState becomes `open`. Raises InvalidArgument for a number it does not
    have.
    """
    try:
        name = enum.Name(number)
    except ValueError as error:
        raise InvalidArgument(
            f"{enum.DESCRIPTOR.full_name} has no value {number}", reason="UNKNOWN_ENUM_VALUE"
        ) from error
    text = name.removeprefix(_prefix(enum)).lower()
    return "" if text == "unspecified" else text


def enum_number(enum: EnumTypeWrapper, text: str) -> Any:
    """Return the number of an enum value from what enum_text returned.

    Raises ValueError when there is none.
    """
    return enum.Value(f"{_prefix(enum)}{(text or 'unspecified').upper()}")


def _prefix(enum: EnumTypeWrapper) -> str:
    first = enum.DESCRIPTOR.values_by_number[0].name
    return first.removesuffix("UNSPECIFIED") if first.endswith("_UNSPECIFIED") else ""
