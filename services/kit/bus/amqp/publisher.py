"""The publisher: brings the events that the relay has ordered to RabbitMQ.

One works per service, in its worker process, under an advisory lock held by the connection that keeps its place. Its
place is a subscription of the stream like any other, so that no event is forgotten before it is on the broker.
"""

from __future__ import annotations

import logging
import math
import threading
import time
from collections import deque
from collections.abc import Sequence
from uuid import UUID

import amqp
import sqlalchemy as sa
from rapport.events.v1 import events_pb2
from sqlalchemy import Connection, Engine

from services.kit.bus.amqp.broker import (
    CLOSE_SECONDS,
    ERRORS,
    HEARTBEAT_SECONDS,
    Broker,
    close_quietly,
    cut,
    explain,
)
from services.kit.bus.amqp.messages import encode, message_of
from services.kit.bus.amqp.poller import Poller, drain
from services.kit.bus.amqp.topology import (
    MARK,
    PUBLISHER,
    declare_exchange,
    exchange_name,
    give_up_queue,
    has_exchange,
)
from services.kit.clock import Clock
from services.kit.events import store
from services.kit.events.timelines import is_own
from services.kit.locks import lock_key
from services.kit.log import safe_summary
from services.kit.tables import KitTables

_log = logging.getLogger(__name__)

BATCH = 500
BATCH_BYTES = 4 << 20
"""Events of one message at the most, and about how many bytes."""

UNCONFIRMED = 20
"""Messages that may wait for the broker's confirmation; at so many, nothing more is sent."""

FIRST_PAUSE, LONGEST_PAUSE, STANDBY = 0.2, 5.0, 1.0
LOOK_SECONDS = 1.0
"""How often the stream's head is looked at although the relay told of nothing: another process may have it."""

SAVE_SECONDS = 0.1
MARK_SECONDS, MARK_SECONDS_BUSY, MARK_EXPIRES = 1.0, 5.0, 60
STOP_SECONDS = 5.0
PATIENCE_SECONDS = 10.0

CONFIRM_SECONDS = 20.0
"""How long nothing may be confirmed by a broker that is short of nothing, before all is sent again."""


class Unconfirmed:
    """Remember which messages the broker has not confirmed yet, and up to where all are."""

    def __init__(self) -> None:
        self._sent: deque[tuple[int, int]] = deque()
        self._confirmed: set[int] = set()
        self._next = 1
        self.refused = False

    def __len__(self) -> int:
        return len(self._sent)

    def add(self, position: int) -> None:
        """Add the message that was sent last; position: the place behind it."""
        self._sent.append((self._next, position))
        self._next += 1

    def confirm(self, tag: int, multiple: bool) -> None:
        """Note what the broker confirms."""
        if multiple:
            self._confirmed.update(number for number, _ in self._sent if number <= tag)
        else:
            self._confirmed.add(tag)

    def refuse(self, tag: int, multiple: bool) -> None:
        """Note that the broker could not take messages: they must be sent again."""
        self.refused = True

    def settle(self) -> int | None:
        """Forget the first messages as far as all are confirmed, and return the place behind them, if any."""
        place = None
        while self._sent and self._sent[0][0] in self._confirmed:
            tag, place = self._sent.popleft()
            self._confirmed.discard(tag)
        return place


class Publisher:
    """Publish the events of one service, in a thread of its own, in order and at least once."""

    def __init__(
        self, service: str, engine: Engine, kit: KitTables, clock: Clock, broker: Broker, *, prefix: str
    ) -> None:
        self._service = service
        self._engine = engine
        self._kit = kit
        self._clock = clock
        self._broker = broker
        self._prefix = prefix
        self._exchange = exchange_name(prefix, service)
        self._poller = Poller()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="publisher", daemon=True)
        self._connection: amqp.Connection | None = None
        self.status = "starting"

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def wake(self) -> None:
        """Tell that there are new positions; from any thread."""
        self._poller.wake()

    def stop(self) -> None:
        """Stop the thread and wait for it; what is not confirmed by then is published again by the next one."""
        self._stop.set()
        self._poller.wake()
        if not self._thread.is_alive():
            return
        self._thread.join(STOP_SECONDS + CLOSE_SECONDS)
        if self._thread.is_alive() and (connection := self._connection) is not None:
            # A broker that is frozen, or takes nothing, would be waited for.
            cut(connection)
            self._thread.join(CLOSE_SECONDS)

    def _run(self) -> None:
        pause = FIRST_PAUSE
        complained = False
        while not self._stop.is_set():
            started = time.monotonic()
            try:
                with self._engine.connect() as connection:
                    self._work(connection)
            except Exception as error:
                # Whatever it was, the events are safe and nobody else will publish them.
                text, needs_help = (
                    explain(error, self._broker)
                    if isinstance(error, ERRORS)
                    else (safe_summary(error), False)
                )
                if time.monotonic() - started > PATIENCE_SECONDS:
                    # It has worked meanwhile, so this is another trouble.
                    pause, complained = FIRST_PAUSE, False
                self.status = f"waiting: {text}"
                level = logging.ERROR if needs_help else logging.WARNING
                if needs_help or not complained:
                    _log.log(level, "events of %s wait for the broker: %s", self._service, text)
                complained = True
                self._stop.wait(pause)
                pause = min(pause * 2, LONGEST_PAUSE)
        self.status = "stopped"
        self._poller.close()

    def _work(self, connection: Connection) -> None:
        """Publish for as long as both connections hold; returns when asked to stop."""
        broker = None
        try:
            while not self._try_lock(connection):
                self.status = "standby: another process does this"
                if self._stop.wait(STANDBY):
                    return
            broker = self._connection = self._broker.connect(self._exchange)
            _Run(self, connection, broker).run()
        finally:
            self._connection = None
            close_quietly(broker)
            if not connection.closed:
                # The lock belongs to the session, which would live on in the pool.
                connection.invalidate()

    def _try_lock(self, connection: Connection) -> bool:
        with connection.begin():
            query = sa.select(sa.func.pg_try_advisory_lock(lock_key("publisher")))
            return bool(connection.execute(query).scalar_one())


class _Run:
    """Publish over one connection to the broker."""

    def __init__(self, publisher: Publisher, connection: Connection, broker: amqp.Connection) -> None:
        self._publisher = publisher
        self._stop = publisher._stop
        self._poller = publisher._poller
        self._kit = publisher._kit
        self._db = connection
        self._broker = broker
        self._blocked = False
        broker.on_blocked, broker.on_unblocked = self._on_blocked, self._on_unblocked
        self._channel = broker.channel()
        self._window = Unconfirmed()
        self._channel.confirm_select()
        self._channel.events["basic_ack"].add(self._window.confirm)
        self._channel.events["basic_nack"].add(self._window.refuse)
        self._timeline = UUID(int=0)
        self._saved = self._confirmed = self._sent = self._head = 0
        self._marked = -1
        self._next_look = self._next_save = self._last_mark = 0.0
        self._last_progress = time.monotonic()

    def run(self) -> None:
        """Publish until asked to stop, then wait a little for what is not confirmed."""
        self._begin()
        self._publisher.status = "publishing"
        while not self._stop.is_set():
            self._settle()
            if not self._blocked and len(self._window) < UNCONFIRMED:
                if self._sent < self._known_head():
                    self._publish_next()
                    continue
                self._mark()
            if self._poller.wait(self._broker, self._pause()):
                self._next_look = 0.0
        until = time.monotonic() + STOP_SECONDS
        while len(self._window) and time.monotonic() < until:
            self._poller.wait(self._broker, 0.1)
            self._settle()
        self._save()

    def _begin(self) -> None:
        """Find the place to go on from; a new publisher begins at the head, as consumers catch up by themselves."""
        with self._db.begin():
            store.ensure_stream(self._db, self._kit)
            head = store.read_head(self._db, self._kit)
            cursor = store.load_cursor(self._db, self._kit, PUBLISHER)
        self._timeline = head.timeline
        # A restore brought the place back along with the events, so it holds on the new timeline.
        place = head.position if cursor is None else min(cursor.position, head.position)
        if place < head.purged:
            _log.warning(
                "the publisher of %s was away for longer than events are kept: %d of them are gone; delete the queues "
                "of its consumers, to have each told what it lacks",
                self._publisher._service,
                head.purged - place,
            )
            place = head.purged
        self._saved = self._confirmed = self._sent = place
        self._head = head.position
        if cursor is None or cursor.timeline != head.timeline or cursor.position != place:
            self._store(place, rewind=True)
        self._make_exchange(first=cursor is None)

    def _make_exchange(self, *, first: bool) -> None:
        """Make the exchange; where it is not there any more, no queue of before would get another message."""
        exchange = self._publisher._exchange
        if not first and not has_exchange(self._broker, exchange):
            with self._db.begin():
                names = [cursor.name for cursor in store.list_cursors(self._db, self._kit)]
            lost = [name for name in names if is_own(name) and name != PUBLISHER]
            if lost:
                _log.warning(
                    "the exchange %s is not there: its consumers make their queues anew, and read the stream: %s",
                    exchange,
                    ", ".join(lost),
                )
            for name in lost:
                give_up_queue(self._broker, self._publisher._prefix, name)
        declare_exchange(self._channel, exchange)

    def _known_head(self) -> int:
        now = time.monotonic()
        if self._sent >= self._head and now >= self._next_look:
            with self._db.begin():
                head = store.read_head(self._db, self._kit)
            if head.timeline != self._timeline:
                raise ConnectionError("a restore began a new timeline")
            self._head = head.position
            self._next_look = now + LOOK_SECONDS
        return self._head

    def _publish_next(self) -> None:
        with self._db.begin():
            events = store.read_events(
                self._db,
                self._kit,
                self._publisher._service,
                after=self._sent,
                until=self._head,
                types=[],
                limit=BATCH,
            )
        if not events:
            # Erased meanwhile, or forgotten.
            self._sent = self._head
            return
        size = 0
        for number, event in enumerate(events):
            size += event.ByteSize()
            if size > BATCH_BYTES and number:
                events = events[:number]
                break
        place = events[-1].position if len(events) else self._head
        self._send(events, place)
        self._sent = place

    def _send(self, events: Sequence[events_pb2.Event], place: int) -> None:
        cursor = events_pb2.Cursor(timeline=str(self._timeline), position=place)
        body = encode(events_pb2.SubscribeResponse(events=events, cursor=cursor))
        first, *others = dict.fromkeys(event.type for event in events) if events else (MARK,)
        message = message_of(body, others, expire_seconds=None if events else MARK_EXPIRES)
        self._channel.basic_publish(message, self._publisher._exchange, first)
        self._window.add(place)

    def _mark(self) -> None:
        """Tell all consumers how far the stream has come, also those whom its last events do not concern."""
        now = time.monotonic()
        if now >= self._mark_due():
            # Never beyond what is confirmed: the rest may have to be sent again.
            self._send((), self._confirmed)
            self._marked = self._confirmed
            self._last_mark = now

    def _mark_due(self) -> float:
        """Return when the next mark is to be sent; infinity while there is nothing to tell."""
        if self._marked >= self._confirmed:
            return math.inf
        idle = self._confirmed == self._sent == self._head
        return self._last_mark + (MARK_SECONDS if idle else MARK_SECONDS_BUSY)

    def _settle(self) -> None:
        drain(self._broker)
        if self._window.refused:
            raise ConnectionError("the broker could not take a message")
        now = time.monotonic()
        place = self._window.settle()
        if place is not None:
            self._confirmed = max(self._confirmed, place)
        if place is not None or not len(self._window) or self._blocked:
            self._last_progress = now
        elif now - self._last_progress > CONFIRM_SECONDS:
            # Such as what reached a queue before its replicas had chosen a leader: sent again, it will do no harm.
            raise ConnectionError(
                f"{len(self._window)} messages are not confirmed after {CONFIRM_SECONDS:g} s"
            )
        if time.monotonic() >= self._next_save or not len(self._window):
            self._save()

    def _save(self) -> None:
        done = self._sent if not len(self._window) else self._confirmed
        if done > self._saved:
            self._store(done)
            self._saved = self._confirmed = done
            self._next_save = time.monotonic() + SAVE_SECONDS

    def _store(self, place: int, *, rewind: bool = False) -> None:
        with self._db.begin():
            store.save_cursor(
                self._db,
                self._kit,
                PUBLISHER,
                self._timeline,
                place,
                rewind=rewind,
                time=self._publisher._clock.now(),
            )

    def _pause(self) -> float:
        """Return how long there is nothing to do unless somebody wakes."""
        now = time.monotonic()
        due = [now + HEARTBEAT_SECONDS / 4]
        if not self._blocked and len(self._window) < UNCONFIRMED:
            due += [self._next_look, self._mark_due()]
        if self._confirmed > self._saved:
            due.append(self._next_save)
        return max(min(due) - now, 0.0)

    def _on_blocked(self, reason: str) -> None:
        self._blocked = True
        # The library keeps the broker's own words to itself, and has none but these two reasons.
        text = f"{self._publisher._broker} takes no messages, as it is short of memory or disk"
        self._publisher.status = f"waiting: {text}"
        _log.warning("%s", text)

    def _on_unblocked(self) -> None:
        self._blocked = False
        self._publisher.status = "publishing"
        _log.info("%s takes messages again", self._publisher._broker)
