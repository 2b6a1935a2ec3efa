"""Frames between the core and a plugin host: four bytes of length, then JSON.

JSON has no times, decimals or ids, so these travel as objects with one key that begins with `$`. Nothing that
comes from a child is ever unpickled or evaluated.
"""

from __future__ import annotations

import json
import socket
import struct
import time
from collections.abc import Mapping
from dataclasses import fields
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

from rapport_sdk import Event, Profile

MAX_FRAME = 64 << 20
_HEADER = struct.Struct(">I")
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)


class WireError(Exception):
    """Report a frame that cannot be sent or understood."""


class FrameTimeout(WireError):
    """Report that a whole frame did not arrive in time."""


class ConnectionLost(WireError):
    """Report that the other side closed the connection."""


def encode(value: Any) -> Any:
    """Return a value as JSON can hold it; raises WireError for a type that does not travel."""
    match value:
        case None | bool() | str() | float() | int():
            return value
        case datetime():
            if value.tzinfo is None:
                raise WireError(f"{value!r} has no time zone")
            # Microseconds since 1970: isoformat would lose nothing either, but is ten times slower to read
            # back.
            return {"$time": (value - _EPOCH) // _MICROSECOND}
        case date():
            return {"$date": value.isoformat()}
        case timedelta():
            return {"$duration": value // _MICROSECOND}
        case Decimal():
            return {"$decimal": str(value)}
        case UUID():
            return {"$uuid": value.hex}
        case Mapping():
            if not all(isinstance(key, str) for key in value):
                raise WireError("a mapping has a key that is not a text")
            if any(key.startswith("$") for key in value):
                return {"$map": [[key, encode(item)] for key, item in value.items()]}
            return {key: encode(item) for key, item in value.items()}
        case list() | tuple():
            return [encode(item) for item in value]
        case _:
            raise WireError(f"a {type(value).__name__} cannot be sent")


def _decode_object(pairs: dict[str, Any]) -> Any:
    if len(pairs) != 1:
        return pairs
    ((key, value),) = pairs.items()
    match key:
        case "$time":
            return _EPOCH + timedelta(microseconds=value)
        case "$date":
            return date.fromisoformat(value)
        case "$duration":
            return timedelta(microseconds=value)
        case "$decimal":
            return Decimal(value)
        case "$uuid":
            return UUID(hex=value)
        case "$map":
            return dict(value)
        case _:
            return pairs


def dumps(value: Any) -> bytes:
    """Return a frame's body."""
    return json.dumps(encode(value), ensure_ascii=False, separators=(",", ":")).encode(
        "utf-8", "surrogatepass"
    )


def loads(body: bytes) -> Any:
    """Return what a frame's body says; raises WireError when it is not JSON of ours."""
    try:
        return json.loads(body.decode("utf-8", "surrogatepass"), object_hook=_decode_object)
    except (ValueError, TypeError, AttributeError, ArithmeticError, RecursionError) as error:
        raise WireError(f"a frame cannot be read: {error}") from error


_APART = ("history", "next_event_time")
_PROFILE_FIELDS = tuple(field.name for field in fields(Profile) if field.name not in _APART)


def encode_profile(profile: Profile) -> list[Any]:
    """Return a profile as a list: its fields in order, the time of its next event, its events."""
    return [
        [getattr(profile, name) for name in _PROFILE_FIELDS],
        profile.next_event_time,
        [[e.type, e.occurred_at, e.event_id, e.category, e.amount, e.payload] for e in profile.history],
    ]


def decode_profile(data: list[Any]) -> Profile:
    """Return the profile that `encode_profile` made."""
    values = dict(zip(_PROFILE_FIELDS, data[0], strict=True))
    values["tags"] = tuple(values["tags"])
    return Profile(**values, next_event_time=data[1], history=tuple(Event(*e) for e in data[2]))


def send_frame(connection: socket.socket, value: Any, deadline: float | None = None) -> None:
    """Send one frame; deadline is in seconds of time.monotonic()."""
    body = dumps(value)
    if len(body) > MAX_FRAME:
        raise WireError(f"a frame of {len(body)} bytes is over the limit of {MAX_FRAME}: use smaller batches")
    try:
        _set_timeout(connection, deadline)
        connection.sendall(_HEADER.pack(len(body)) + body)
    except TimeoutError:
        raise FrameTimeout("the other side does not read") from None
    except OSError as error:
        raise ConnectionLost(str(error)) from error


def receive_frame(connection: socket.socket, deadline: float | None = None) -> Any:
    """Receive one frame; deadline is in seconds of time.monotonic() and bounds the whole frame."""
    (length,) = _HEADER.unpack(_receive(connection, _HEADER.size, deadline))
    if length > MAX_FRAME:
        raise WireError(f"a frame of {length} bytes is over the limit of {MAX_FRAME}")
    return loads(_receive(connection, length, deadline))


def _receive(connection: socket.socket, length: int, deadline: float | None) -> bytes:
    buffer = bytearray(length)
    view = memoryview(buffer)
    got = 0
    while got < length:
        try:
            _set_timeout(connection, deadline)
            count = connection.recv_into(view[got:])
        except TimeoutError:
            raise FrameTimeout("no answer") from None
        except OSError as error:
            raise ConnectionLost(str(error)) from error
        if count == 0:
            raise ConnectionLost("closed")
        got += count
    return bytes(buffer)


def _set_timeout(connection: socket.socket, deadline: float | None) -> None:
    if deadline is None:
        connection.settimeout(None)
        return
    left = deadline - time.monotonic()
    if left <= 0:
        raise TimeoutError
    connection.settimeout(left)
