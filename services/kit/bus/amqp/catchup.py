"""What a new consumer gets before its queue: all that its source still keeps, from the source's event stream."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol, cast

from rapport.events.v1 import events_pb2

from services.kit.bus.amqp.topology import PUBLISHER
from services.kit.bus.transport import Delivery, Stream


class Replay(Protocol):
    """Open event streams of the services, and ask where they stand."""

    def open(self, source: str, subscription: str, types: Sequence[str], batch_size: int) -> Stream:
        """Open a durable subscription, from its last acknowledged place on."""
        ...

    def state(self, source: str) -> events_pb2.GetStreamResponse:
        """Return where a source's stream and its subscriptions stand; raises StreamBroken."""
        ...

    def acknowledge(self, source: str, subscription: str, cursor: events_pb2.Cursor) -> None:
        """Move a subscription's cursor; raises StreamBroken."""
        ...

    def close(self) -> None:
        """Close all connections."""
        ...


class CatchUp:
    """Deliver what a queue, which is bound by now, does not bring.

    Its end is the stream's head at a moment when the queue was bound and the source had a publisher: what gets its
    position later is published later, so it comes by the queue. Until the source has a publisher, this goes on.
    """

    def __init__(
        self, replay: Replay, source: str, subscription: str, types: Sequence[str], batch_size: int
    ) -> None:
        self._replay = replay
        self._source = source
        self._subscription = subscription
        self._stream = replay.open(source, subscription, types, batch_size)
        self._at = -1
        self._until: int | None = None

    def next(self) -> Delivery | None:
        """Return the next delivery, or None when all is had, or it was closed; raises StreamBroken."""
        if self._until is None:
            self._look()
        if self._until is not None and self._at >= self._until:
            return None
        return self._stream.next()

    def acknowledge(self, delivery: Delivery) -> None:
        """Record that a delivery had its effect; raises StreamBroken."""
        self._stream.acknowledge(delivery)
        self._at = cast(events_pb2.Cursor, delivery.receipt).position

    def close(self) -> None:
        """End the stream, from any thread."""
        self._stream.close()

    def _look(self) -> None:
        state = self._replay.state(self._source)
        cursors = {item.name: item.cursor for item in state.subscriptions}
        if self._at < 0:
            own = cursors.get(self._subscription)
            if own is None:
                self._at = state.oldest_position - 1 if state.oldest_position else state.head.position
            elif own.timeline == state.head.timeline:
                self._at = own.position
        if PUBLISHER in cursors:
            self._until = state.head.position
