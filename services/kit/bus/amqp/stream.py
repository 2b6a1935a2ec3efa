"""One consumer's events over RabbitMQ."""

from __future__ import annotations

import logging
import threading
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from google.protobuf.message import DecodeError
from rapport.events.v1 import events_pb2

from services.kit.bus.amqp.broker import Broker
from services.kit.bus.amqp.catchup import CatchUp, Replay
from services.kit.bus.amqp.messages import encode
from services.kit.bus.amqp.reader import QueueReader
from services.kit.bus.amqp.topology import ConsumerQueues
from services.kit.bus.transport import Delivery

_log = logging.getLogger(__name__)

SCATTER_AFTER = 3
"""A message that came back so often is taken apart, and its events wait in the queue of dead letters, from which they
are tried one at a time: one of them may be what kills its consumer, and with it all that runs in the process."""

LAST_TRIES = 3
"""What reached the queue of dead letters may have done so without being at fault: it is tried so often again."""

IDLE_SECONDS = 5.0
"""How long `next` waits before it lets its caller look around."""

END_SECONDS = 10.0


@dataclass(frozen=True)
class _Part:
    """Hold events of a message on their way; only its last part has the tag, and the place behind it."""

    events: Sequence[events_pb2.Event]
    tag: int | None
    cursor: events_pb2.Cursor | None
    exhausted: bool = False


@dataclass(frozen=True)
class _Receipt:
    tags: tuple[int, ...]
    cursor: events_pb2.Cursor | None


class AmqpStream:
    """Deliver a source's events to one subscription: first what its queue lacks, then the queue.

    report: told how far the subscription has come.
    """

    def __init__(
        self,
        broker: Broker,
        queues: ConsumerQueues,
        replay: Replay,
        report: Callable[[events_pb2.Cursor], None],
        *,
        source: str,
        subscription: str,
        batch_size: int,
    ) -> None:
        self._reader = QueueReader(broker, queues)
        self._replay = replay
        self._report = report
        self._queues = queues
        self._source = source
        self._subscription = subscription
        self._batch_size = batch_size
        self._lock = threading.Lock()
        self._started = self._closed = self._consuming = False
        self._catch_up: CatchUp | None = None
        self._parts: deque[_Part] = deque()
        self._in_hand: set[int] = set()

    def next(self) -> Delivery | None:
        """Return the next delivery, or None once closed; without events when there is nothing else to tell."""
        with self._lock:
            if self._closed:
                return None
            if not self._started:
                self._started = True
                self._reader.start()
        if not self._consuming:
            delivery = self._begin()
            if delivery is not None or self._closed:
                return None if self._closed else delivery
            self._consuming = True
            self._reader.consume()
            return Delivery((), None)
        return self._gather()

    def acknowledge(self, delivery: Delivery) -> None:
        """Record that a delivery had its effect; raises StreamBroken."""
        if delivery.receipt is None:
            return
        if not isinstance(delivery.receipt, _Receipt):
            assert self._catch_up is not None
            self._catch_up.acknowledge(delivery)
            return
        if delivery.receipt.tags:
            self._reader.acknowledge(delivery.receipt.tags)
        with self._lock:
            self._in_hand.clear()
        if delivery.receipt.cursor is not None:
            self._report(delivery.receipt.cursor)

    def close(self) -> None:
        """End it: what was not started goes back at once, what is in hand may yet be acknowledged.

        A second call ends it whether or not that was done.
        """
        with self._lock:
            again, self._closed = self._closed, True
            catch_up, keep = self._catch_up, set(self._in_hand)
        if catch_up is not None:
            catch_up.close()
        if not self._started:
            return
        self._reader.stop(keep)
        if again:
            self._reader.end()

    @property
    def ended(self) -> bool:
        """Tell whether it is closed, and its connection with it."""
        return self._closed and not (self._started and self._reader.alive)

    def join(self, seconds: float = END_SECONDS) -> None:
        """Wait until the connection is closed, for so long at the most."""
        self._reader.join(max(seconds, 0.0))

    def _begin(self) -> Delivery | None:
        """Return a delivery that the queue lacks, or None when there is none, or when it was closed."""
        complete = self._reader.was_complete()
        if complete is None or complete:
            return None
        with self._lock:
            if self._closed:
                return None
            if self._catch_up is None:
                self._catch_up = CatchUp(
                    self._replay, self._source, self._subscription, self._queues.types, self._batch_size
                )
        delivery = self._catch_up.next()
        if delivery is None:
            self._catch_up.close()
        return delivery

    def _gather(self) -> Delivery | None:
        """Return as many events as a batch may have, of as many messages as are there."""
        if not self._parts:
            self._fetch(IDLE_SECONDS)
        events: list[events_pb2.Event] = []
        tags: list[int] = []
        cursor = None
        exhausted = False
        while True:
            if not self._parts:
                self._fetch(0.0)
            if not self._parts:
                break
            part = self._parts[0]
            if len(events) + len(part.events) > self._batch_size or (events and part.exhausted):
                break
            self._parts.popleft()
            events += part.events
            exhausted = part.exhausted
            cursor = part.cursor or cursor
            if part.tag is not None:
                tags.append(part.tag)
            if exhausted:
                break
        with self._lock:
            if self._closed:
                # It was not started, so it goes back.
                return None
            self._in_hand = set(tags)
        if not events and not tags:
            return Delivery((), None)
        return Delivery(events, _Receipt(tuple(tags), cursor), exhausted=exhausted)

    def _fetch(self, seconds: float) -> None:
        """Take a message, if one comes in time, and take it apart into parts no greater than a batch."""
        message = self._reader.take(seconds)
        if message is None:
            return
        try:
            response = events_pb2.SubscribeResponse.FromString(message.body)
        except DecodeError:
            _log.error(
                "%s: a message of %d bytes is none of ours; it is put aside in %s",
                self._subscription,
                len(message.body),
                self._queues.unreadable,
            )
            self._reader.put_aside(message)
            return
        wanted = [event for event in response.events if self._wants(event)]
        if len(wanted) > 1 if message.dead else wanted and message.returned >= SCATTER_AFTER:
            singles = [
                encode(events_pb2.SubscribeResponse(events=[event], cursor=response.cursor))
                for event in wanted
            ]
            self._reader.scatter(message, singles)
            return
        size = self._batch_size
        exhausted = message.dead and message.returned >= LAST_TRIES
        chunks = [wanted[at : at + size] for at in range(0, len(wanted), size)] or [[]]
        self._parts += [_Part(chunk, None, None, exhausted) for chunk in chunks[:-1]]
        self._parts.append(_Part(chunks[-1], message.tag, response.cursor, exhausted))

    def _wants(self, event: events_pb2.Event) -> bool:
        return event.source == self._source and (not self._queues.types or event.type in self._queues.types)
