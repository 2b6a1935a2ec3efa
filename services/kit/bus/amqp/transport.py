"""The transport over RabbitMQ."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence

from rapport.events.v1 import events_pb2

from services.kit.bus.amqp.broker import Broker
from services.kit.bus.amqp.catchup import Replay
from services.kit.bus.amqp.progress import Progress
from services.kit.bus.amqp.stream import AmqpStream
from services.kit.bus.amqp.topology import ConsumerQueues

END_SECONDS = 10.0
"""How long their ends may take, all together."""


class AmqpTransport:
    """Open streams at the queues of one broker; one connection each.

    replay: the services' own event streams, for what a new queue does not hold.
    """

    def __init__(self, broker: Broker, replay: Replay, *, prefix: str) -> None:
        self._broker = broker
        self._replay = replay
        self._prefix = prefix
        self._progress = Progress(replay)
        self._open: list[AmqpStream] = []
        self._lock = threading.Lock()

    def open(self, source: str, subscription: str, types: Sequence[str], batch_size: int) -> AmqpStream:
        """Open a subscription; nothing is connected before the first `next`."""

        def report(cursor: events_pb2.Cursor) -> None:
            self._progress.report(source, subscription, cursor)

        stream = AmqpStream(
            self._broker,
            ConsumerQueues.of(self._prefix, source, subscription, types),
            self._replay,
            report,
            source=source,
            subscription=subscription,
            batch_size=batch_size,
        )
        with self._lock:
            self._open = [*(other for other in self._open if not other.ended), stream]
        return stream

    def close(self) -> None:
        """Close all connections, once what was acknowledged is told."""
        with self._lock:
            streams, self._open = self._open, []
        for stream in streams:
            stream.close()
        until = time.monotonic() + END_SECONDS
        for stream in streams:
            stream.join(until - time.monotonic())
        self._progress.close()
        self._replay.close()
