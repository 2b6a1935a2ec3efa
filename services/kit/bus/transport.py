"""What carries events to handlers: the seam between handlers and the ways to deliver.

Handlers, entrypoints and the worker process know `Transport` alone; `make_transport` is the one place that names an
implementation. There is one so far, the event streams of the services; a second comes with the setting that picks it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from rapport.events.v1 import events_pb2

from services.kit.config import Settings


@dataclass(frozen=True)
class Delivery:
    """Hold events that await acknowledgement, in order, and what the transport needs to acknowledge them.

    No events: only the place in the stream moved, which is acknowledged as well.
    """

    events: Sequence[events_pb2.Event]
    receipt: object


class StreamBroken(Exception):
    """Report that a stream ended and must be opened anew; whatever was not acknowledged comes again.

    needs_help: an operator must act before it can work, such as for a refused token.
    """

    def __init__(self, message: str, *, needs_help: bool = False) -> None:
        super().__init__(message)
        self.needs_help = needs_help


class Stream(Protocol):
    """Deliver the events of one source to one subscription; methods block, so call them in native threads."""

    def next(self) -> Delivery | None:
        """Return the next delivery, or None once closed; raises StreamBroken."""
        ...

    def acknowledge(self, delivery: Delivery) -> None:
        """Record that a delivery had its effect; raises StreamBroken."""
        ...

    def close(self) -> None:
        """End the stream from any thread, without blocking; a waiting `next` returns None."""
        ...


class Transport(Protocol):
    """Open streams."""

    def open(self, source: str, subscription: str, types: Sequence[str], batch_size: int) -> Stream:
        """Open the durable subscription of that name at a source, from its last acknowledged place on."""
        ...

    def close(self) -> None:
        """Close all connections."""
        ...


def make_transport(settings: Settings, service: str = "") -> Transport:
    """Return the transport of a service's worker process; nothing is connected yet."""
    from services.kit.bus.laptop import LaptopTransport  # which is made of the parts above

    return LaptopTransport(settings, service)
