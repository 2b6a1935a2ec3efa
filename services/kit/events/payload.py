"""Decoding of messages that travel as google.protobuf.Any."""

from __future__ import annotations

import importlib
import pkgutil
from functools import cache
from uuid import UUID

from google.protobuf import descriptor_pool, message_factory
from google.protobuf.any_pb2 import Any
from google.protobuf.message import DecodeError, Message
from rapport.events.v1 import events_pb2

from services.kit.errors import InvalidArgument


def unpack(event: events_pb2.Event) -> Message:
    """Return the typed payload of an event.

    Raises InvalidArgument when its type is unknown or its bytes do not parse.
    """
    return unpack_any(event.data, f"event {event.id} ({event.type} of {event.source})")


def unpack_any(packed: Any, where: str) -> Message:
    """Return the message in an Any; `where` names its holder in errors."""
    name = packed.type_url.rpartition("/")[2]
    return parse(name, packed.value, where)


def parse(type_name: str, data: bytes, where: str) -> Message:
    """Return the message of a type, by its full name such as `rapport.sales.v1.OrderPlaced`."""
    try:
        return message_class(type_name).FromString(data)
    except KeyError:
        raise InvalidArgument(
            f"{where}: no message type {type_name!r} is installed; upgrade the stubs of this process",
            reason="UNKNOWN_MESSAGE_TYPE",
        ) from None
    except DecodeError as error:
        raise InvalidArgument(
            f"{where}: not a valid {type_name}: {error}", reason="MALFORMED_MESSAGE"
        ) from error


@cache
def message_class(type_name: str) -> type[Message]:
    """Return the class of a message type, importing its package's stubs when need be; raises KeyError."""
    pool = descriptor_pool.Default()
    try:
        descriptor = pool.FindMessageTypeByName(type_name)
    except KeyError:
        _import_package(type_name.rpartition(".")[0])
        descriptor = pool.FindMessageTypeByName(type_name)
    return message_factory.GetMessageClass(descriptor)


def _import_package(name: str) -> None:
    try:
        package = importlib.import_module(name)
    except ImportError:
        return
    for module in pkgutil.iter_modules(getattr(package, "__path__", ())):
        if module.name.endswith("_pb2"):
            importlib.import_module(f"{name}.{module.name}")


def event_uuid(event: events_pb2.Event) -> UUID:
    """Return an event's id as a UUID."""
    return UUID(event.id)
