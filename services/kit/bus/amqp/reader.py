"""The reader of one consumer's queues: a connection, and the thread that alone uses it."""

from __future__ import annotations

import logging
import threading
from collections import deque
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass

import amqp

from services.kit.bus.amqp.broker import (
    ERRORS,
    HEARTBEAT_SECONDS,
    Broker,
    close_quietly,
    explain,
    hasten,
    headers,
)
from services.kit.bus.amqp.messages import message_of
from services.kit.bus.amqp.poller import Poller, drain
from services.kit.bus.amqp.topology import (
    ConsumerQueues,
    declare_queues,
    declare_unreadable,
    mark_complete,
)
from services.kit.bus.transport import StreamBroken

_log = logging.getLogger(__name__)

PREFETCH = 20
"""Messages that the broker sends ahead of their acknowledgement: the bound on what waits in this process.

Of those that came back only one at a time: when the process dies of one, no other is counted as returned with it.
"""

CONFIRM_SECONDS = 30.0


@dataclass(frozen=True, slots=True)
class Arrived:
    """Hold a message that awaits acknowledgement; returned: how often it came back; dead: it did so too often."""

    tag: int
    body: bytes
    returned: int
    dead: bool


class QueueReader:
    """Take messages from a consumer's queue, and from that of its dead letters.

    What was not acknowledged when it ends is delivered again, to whoever reads next.
    """

    def __init__(self, broker: Broker, queues: ConsumerQueues) -> None:
        self._broker = broker
        self._queues = queues
        self._poller = Poller()
        self._changed = threading.Condition()
        self._inbox: deque[Arrived] = deque()
        self._in_hand: set[int] = set()
        self._commands: deque[Callable[[amqp.Connection], None]] = deque()
        self._complete: bool | None = None
        self._stopping = self._ending = self._ended = False
        self._broken: StreamBroken | None = None
        self._channel: amqp.Channel | None = None
        self._tags: list[str] = []
        self._cautious = True
        self._seen_fresh = False
        self._thread = threading.Thread(target=self._run, name=f"amqp {queues.main}", daemon=True)

    def start(self) -> None:
        """Start connecting."""
        self._thread.start()

    def was_complete(self) -> bool | None:
        """Wait until the queues are there and tell whether the queue was complete; None when stopped meanwhile.

        Raises StreamBroken.
        """
        with self._changed:
            self._changed.wait_for(lambda: self._complete is not None or self._over)
            self._raise_if_broken()
            return None if self._stopping else self._complete

    def consume(self) -> None:
        """Begin to take messages; all that they do not bring has been had otherwise."""
        self._command(self._consume)

    def take(self, seconds: float) -> Arrived | None:
        """Return the next message, or None when none came in so many seconds or it was stopped.

        Raises StreamBroken.
        """
        with self._changed:
            self._changed.wait_for(lambda: bool(self._inbox) or self._over, seconds)
            self._raise_if_broken()
            if self._stopping or not self._inbox:
                return None
            message = self._inbox.popleft()
            self._in_hand.add(message.tag)
            return message

    def acknowledge(self, tags: Sequence[int]) -> None:
        """Let the broker forget messages; raises StreamBroken when it cannot be told, so that they come again."""
        with self._changed:
            self._raise_if_broken()
            if self._ended:
                raise StreamBroken(f"{self._broker}: the connection is closed")
        self._command(lambda connection: self._acknowledge(tags))

    def scatter(self, message: Arrived, bodies: Sequence[bytes]) -> None:
        """Replace a message by others in the queue of dead letters, which are there before it is forgotten."""
        self._command(lambda connection: self._replace(connection, message, bodies, self._queues.dead))

    def put_aside(self, message: Arrived) -> None:
        """Move a message to where nobody reads."""

        def move(connection: amqp.Connection) -> None:
            channel = connection.channel()
            declare_unreadable(channel, self._queues)
            channel.close()
            self._replace(connection, message, [message.body], self._queues.unreadable)

        self._command(move)

    def stop(self, keep: Collection[int] = ()) -> None:
        """Take no more and give back what was not started, all but `keep`; end once these are acknowledged.

        Does not wait. A second call changes nothing.
        """
        with self._changed:
            self._stopping = True
            if self._ended:
                return
            kept = self._in_hand & set(keep)
            given_back = [*sorted(self._in_hand - kept)]
            self._in_hand = kept
            self._changed.notify_all()
        self._command(lambda connection: self._give_back(connection, given_back))

    def end(self) -> None:
        """End now; does not wait."""
        with self._changed:
            self._stopping = self._ending = True
            self._changed.notify_all()
        self._poller.wake()

    def join(self, seconds: float) -> None:
        """Wait for the end."""
        if self._thread.ident is not None:
            self._thread.join(seconds)

    @property
    def alive(self) -> bool:
        """Tell whether the connection is still in use."""
        return self._thread.is_alive()

    @property
    def _over(self) -> bool:
        return self._stopping or self._ended

    def _raise_if_broken(self) -> None:
        if self._broken is not None and not self._stopping:
            raise self._broken

    def _command(self, command: Callable[[amqp.Connection], None]) -> None:
        with self._changed:
            self._commands.append(command)
        self._poller.wake()

    def _run(self) -> None:
        connection = None
        try:
            connection = self._broker.connect(self._queues.main)
            complete = declare_queues(connection, self._queues)
            with self._changed:
                self._complete = complete
                self._changed.notify_all()
            while True:
                drain(connection)
                while self._commands:
                    self._commands.popleft()(connection)
                if self._cautious and self._seen_fresh and not self._stopping:
                    self._take_more()
                if self._is_done():
                    break
                self._poller.wait(connection, HEARTBEAT_SECONDS / 4)
        except ERRORS as error:
            if connection is not None and isinstance(error, OSError):
                # It would not answer a farewell either.
                connection.collect()
            text, needs_help = explain(error, self._broker)
            self._broken = StreamBroken(text, needs_help=needs_help)
        except Exception as error:  # a thread that dies unseen would leave its consumer waiting for ever
            _log.exception("the reader of %s failed", self._queues.main)
            self._broken = StreamBroken(f"{self._queues.main}: {type(error).__name__}")
        finally:
            close_quietly(connection)
            with self._changed:
                self._ended = True
                self._inbox.clear()
                self._changed.notify_all()
            self._poller.close()

    def _is_done(self) -> bool:
        with self._changed:
            return not self._commands and (self._ending or (self._stopping and not self._in_hand))

    def _consume(self, connection: amqp.Connection) -> None:
        if self._stopping:
            return
        if not self._complete:
            mark_complete(connection, self._queues)
        channel = self._channel = connection.channel()
        channel.basic_qos(0, 1, False)
        for queue, dead in ((self._queues.dead, True), (self._queues.main, False)):
            self._tags.append(channel.basic_consume(queue, callback=self._receiver(dead)))

    def _take_more(self) -> None:
        """Take many at a time, now that what came back is over: it is delivered before all others."""
        assert self._channel is not None
        self._cautious = False
        # Beside the first, as a consumer keeps the limit that held when it began, and what is on its way to it need so
        # not be thought of.
        self._channel.basic_qos(0, PREFETCH - 1, False)
        self._tags.append(self._channel.basic_consume(self._queues.main, callback=self._receiver(False)))

    def _receiver(self, dead: bool) -> Callable[[amqp.Message], None]:
        def receive(message: amqp.Message) -> None:
            body = message.body if isinstance(message.body, bytes) else message.body.encode()
            returned = headers(message).get("x-delivery-count", 0)
            arrived = Arrived(message.delivery_tag, body, int(str(returned)), dead)
            self._seen_fresh = self._seen_fresh or not (dead or arrived.returned)
            with self._changed:
                self._inbox.append(arrived)
                self._changed.notify_all()

        return receive

    def _acknowledge(self, tags: Sequence[int]) -> None:
        assert self._channel is not None
        for tag in tags:
            self._channel.basic_ack(tag)
        with self._changed:
            self._in_hand.difference_update(tags)

    def _replace(
        self, connection: amqp.Connection, message: Arrived, bodies: Sequence[bytes], queue: str
    ) -> None:
        channel = connection.channel()
        for body in bodies:
            channel.basic_publish_confirm(
                message_of(body), "", queue, mandatory=True, confirm_timeout=CONFIRM_SECONDS
            )
        channel.close()
        self._acknowledge([message.tag])

    def _give_back(self, connection: amqp.Connection, tags: Sequence[int]) -> None:
        if self._channel is None:
            return
        hasten(connection)
        while self._tags:
            self._channel.basic_cancel(self._tags.pop())
        with self._changed:
            waiting = [message.tag for message in self._inbox]
            self._inbox.clear()
        for tag in (*tags, *waiting):
            self._channel.basic_reject(tag, True)
