"""What carries events to handlers: the seam between handlers and the ways to deliver.

Handlers, entrypoints and the worker process know `Transport` and `Publisher` alone; the functions that make them are
the one place that names implementations. The setting RAPPORT_AMQP_URL picks one: RabbitMQ, else the event streams of
the services.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from rapport.events.v1 import events_pb2
from sqlalchemy import Engine

from services.kit.clock import Clock
from services.kit.config import Settings
from services.kit.tables import KitTables


@dataclass(frozen=True)
class Delivery:
    """Hold events that await acknowledgement, in order, and what the transport needs to acknowledge them.

    No events: only the place in the stream moved, which is acknowledged as well. exhausted: they came back so often,
    with nobody left to say why, that they are to be dead letters.
    """

    events: Sequence[events_pb2.Event]
    receipt: object
    exhausted: bool = False


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


class Publisher(Protocol):
    """Bring a service's events, as they get their positions, to where its consumers wait for them."""

    def start(self) -> None:
        """Begin."""
        ...

    def wake(self) -> None:
        """Tell that there are new positions; from any thread."""
        ...

    def stop(self) -> None:
        """End; what was not confirmed is published again later."""
        ...

    @property
    def status(self) -> str:
        """What it does now, in words."""
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

    streams = LaptopTransport(settings, service)
    if not settings.amqp_url:
        return streams
    from services.kit.bus.amqp.broker import parse_url
    from services.kit.bus.amqp.transport import AmqpTransport

    return AmqpTransport(parse_url(settings.amqp_url), streams, prefix=settings.amqp_prefix)


def make_publisher(
    service: str, engine: Engine, kit: KitTables, clock: Clock, settings: Settings
) -> Publisher | None:
    """Return the publisher of a service's events, or None where consumers read the event stream themselves."""
    if not settings.amqp_url:
        return None
    from services.kit.bus.amqp.broker import parse_url
    from services.kit.bus.amqp.publisher import Publisher as AmqpPublisher

    return AmqpPublisher(
        service, engine, kit, clock, parse_url(settings.amqp_url), prefix=settings.amqp_prefix
    )
