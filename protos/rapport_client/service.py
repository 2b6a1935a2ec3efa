"""All RPCs of a service as methods of one object."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterable
from difflib import get_close_matches
from typing import Any

import grpc
from google.protobuf import descriptor_pool
from google.protobuf.descriptor import ServiceDescriptor
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass

from rapport_client.errors import DeadlineExceeded, Details, from_status
from rapport_client.method import CallSettings, Method

_WAIT_SLICE_SECONDS = 1.0
_PAUSE_SECONDS = 0.2
_FOREVER = 10 * 365 * 86_400.0


class ServiceClient:
    """Call a service: each RPC is a method in snake_case, such as `get_contact`."""

    def __init__(
        self, channel: grpc.Channel, services: Iterable[ServiceDescriptor], settings: CallSettings
    ) -> None:
        self._methods: dict[str, Method] = {}
        self._names: list[str] = []
        for service in services:
            self._names.append(service.full_name)
            for descriptor in service.methods:
                name = snake_case(descriptor.name)
                if name in self._methods:
                    raise ValueError(f"{service.full_name}: a second RPC named {descriptor.name}")
                self._methods[name] = Method(channel, descriptor, settings)

    def __getattr__(self, name: str) -> Method:
        try:
            return self.__dict__["_methods"][name]  # type: ignore[no-any-return]
        except KeyError:
            close = get_close_matches(name, list(self.__dict__.get("_methods", ())), 1)
            hint = f": did you mean {close[0]}?" if close else ""
            raise AttributeError(
                f"{', '.join(self.__dict__.get('_names', ()))} has no RPC {name!r}{hint}"
            ) from None

    def __dir__(self) -> list[str]:
        return sorted({*super().__dir__(), *self._methods})

    def __repr__(self) -> str:
        return f"<client of {', '.join(self._names)}>"

    def wait_operation(
        self,
        operation: Any,
        *,
        progress: Callable[[Any], None] | None = None,
        timeout: float | None = None,
    ) -> Any:
        """Wait until a long-running operation of this service is done and return its typed result.

        operation: an Operation, a response that holds one as `operation`, or its name; progress: called with
        the Operation about every second, and once at its end; timeout: seconds in all, None for as long as it
        takes. Raises the operation's own error when it failed, DeadlineExceeded when the time is over (it
        goes on running).
        """
        name = operation if isinstance(operation, str) else getattr(operation, "operation", operation).name
        deadline = time.monotonic() + (_FOREVER if timeout is None else timeout)
        while True:
            asked = time.monotonic()
            left = deadline - asked
            if left <= 0:
                raise DeadlineExceeded(f"{name} is still running", Details("OPERATION_RUNNING"))
            part = min(_WAIT_SLICE_SECONDS, left)
            current = self._methods["wait_operation"](
                name=name, timeout={"seconds": int(part), "nanos": int(part % 1 * 1e9)}, _timeout=part + 30
            ).operation
            if progress is not None:
                progress(current)
            if current.done:
                return result(current)
            if time.monotonic() - asked < part / 2:
                # A server with too many waiting calls answers at once.
                time.sleep(min(_PAUSE_SECONDS, max(0.0, deadline - time.monotonic())))


def result(operation: Any) -> Message | None:
    """Return the typed result of an operation that is done, None when it has none.

    Raises its error when it failed.
    """
    if operation.WhichOneof("result") == "error":
        raise from_status(operation.error, operation.name)
    if operation.WhichOneof("result") is None:
        return None
    kind = descriptor_pool.Default().FindMessageTypeByName(operation.response.TypeName())
    message: Message = GetMessageClass(kind)()
    operation.response.Unpack(message)
    return message


def snake_case(name: str) -> str:
    """Return an RPC's name as a Python name.

    `GetContact` becomes `get_contact`, `ImportCSV` becomes `import_csv`.
    """
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", "_", name).lower()
