"""`@subscribe`: a method that receives the events of another service, or of its own."""

from __future__ import annotations

import functools
import logging
import random
import time
from collections.abc import Callable, Sequence
from datetime import timedelta
from typing import cast

from eventlet.semaphore import Semaphore
from nameko.exceptions import ContainerBeingKilled
from nameko.extensions import Entrypoint, register_entrypoint
from rapport.events.v1 import events_pb2

from services.kit.bus import consumer
from services.kit.bus.batch import EventBatch
from services.kit.bus.delivery import ConsumerEnded, Deliverer, Stopping
from services.kit.bus.host import CONFIG_KEY, F, Host, StopSignal, hold_lock, run_worker_method
from services.kit.bus.native import native
from services.kit.bus.transport import Delivery, Stream, StreamBroken
from services.kit.dead_letters import store as dead_letters
from services.kit.log import safe_summary
from services.kit.telemetry import spans
from services.kit.telemetry.spans import Kind, Value

_log = logging.getLogger(__name__)

FIRST_PAUSE, LONGEST_PAUSE = 0.1, 5.0
FORGET_SECONDS = 600.0


def subscribe(source: str, *types: str, batch_size: int = 500) -> Callable[[F], F]:
    """Mark a method of a worker as the handler of a source service's events of these types (none: all).

    The method takes an EventBatch of at most `batch_size` events, runs in a native thread, and in one process
    of the service at a time. Its durable subscription is `<service>.<method>`: renaming the method starts a
    new one at the oldest event kept. What it raises is retried: transient errors for ever, others a few
    times, after which the batch is taken apart and the event at fault goes to `dead_letter`.
    """

    def mark(method: F) -> F:
        @functools.wraps(method)
        def run(self: object, batch: EventBatch) -> None:
            native(_in_context, method, self, batch)

        register_entrypoint(run, Subscription(source, types, batch_size))
        return cast(F, run)

    return mark


def _in_context(method: Callable[..., object], worker: object, batch: EventBatch) -> None:
    """Run a handler so that its logs, calls and events continue the traces of its events."""
    causes = ((event.contact.partition("/")[2], event.traceparent) for event in batch)
    call, links = spans.call_for(batch.consumer, causes)
    attributes: dict[str, Value] = {
        "messaging.system": "rapport",
        "messaging.batch.message_count": len(batch),
    }
    with spans.work(call, kind=Kind.CONSUMER, links=links, attributes=attributes):
        method(worker, batch)


class Subscription(Entrypoint):  # type: ignore[misc]
    """Keep one subscription going: one stream, one batch at a time."""

    def __init__(self, source: str, types: Sequence[str], batch_size: int) -> None:
        super().__init__()
        self.source = source
        self.types = tuple(types)
        self.batch_size = batch_size

    def setup(self) -> None:
        """Take what is shared from the container."""
        self.host: Host = self.container.config[CONFIG_KEY]
        self.name = self.host.name(self.method_name)
        self.host.status[self.name] = "starting"
        self._stop = StopSignal()
        self._stream: Stream | None = None
        self._next_forget = time.monotonic() + FORGET_SECONDS
        # A dead letter that is handled again waits for the batch in hand, and the next batch for it.
        self._turn = Semaphore()
        self._deliverer = Deliverer(self.name, handle=self._handle, bury=self._bury, pause=self._stop.wait)
        self._again = Deliverer(self.name, handle=self._handle, bury=self._bury_again, pause=self._stop.wait)

    def start(self) -> None:
        """Start receiving."""
        self._greenlet = self.container.spawn_managed_thread(self._run, identifier=self.name)

    def stop(self) -> None:
        """Receive no more; return once the batch in hand has had its effect and is acknowledged."""
        self._stop.set()
        if self._stream is not None:
            self._stream.close()
        self._greenlet.wait()

    def kill(self) -> None:
        """End at once."""
        self._stop.set()
        if self._stream is not None:
            self._stream.close()
        self._greenlet.kill()

    def handle_again(self, event: events_pb2.Event) -> bool:
        """Return once a dead letter's event has had its effect, or False when it failed again; raises Stopping."""
        with self._turn:
            if self._stop.is_set:
                raise Stopping
            return self._again.deliver([event])

    def _run(self) -> None:
        pause = FIRST_PAUSE
        complained = ""
        while hold_lock(self.host, self.name, self._stop):
            self.host.status[self.name] = "connecting"
            stream = self._stream = self.host.transport.open(
                self.source, self.name, self.types, self.batch_size
            )
            try:
                while not self._stop.is_set and self.host.locks.held(self.name):
                    delivery = native(stream.next)
                    if delivery is None:
                        break
                    if self.host.status[self.name] != "receiving":
                        self.host.status[self.name] = "receiving"
                        if complained:
                            _log.info("%s receives events of %s again", self.name, self.source)
                    pause, complained = FIRST_PAUSE, ""
                    self._take(stream, delivery)
            except Stopping:
                break
            except StreamBroken as error:
                self.host.status[self.name] = str(error)
                # Once per outage is enough, unless somebody has to act.
                if not complained or error.needs_help:
                    _log.log(
                        logging.ERROR if error.needs_help else logging.WARNING,
                        "%s is cut off and keeps trying: %s",
                        self.name,
                        error,
                    )
                complained = str(error)
                longest = LONGEST_PAUSE * 6 if error.needs_help else LONGEST_PAUSE
                self._stop.wait(pause * random.uniform(0.75, 1.25))
                pause = min(pause * 2, longest)
            finally:
                stream.close()
        self.host.status[self.name] = "stopped"
        native(self.host.locks.release, self.name)

    def _take(self, stream: Stream, delivery: Delivery) -> None:
        if delivery.exhausted:
            for event in delivery.events:
                # Whose effect was written is not why the process ended, but another event beside it.
                if not native(consumer.had_effect, self.host.runtime.db, self.host.kit, self.name, event):
                    self._deliverer.give_up(event, ConsumerEnded())
        elif delivery.events:
            with self._turn:
                self._deliverer.deliver(delivery.events)
        native(stream.acknowledge, delivery)
        if delivery.events and time.monotonic() >= self._next_forget:
            self._next_forget = time.monotonic() + FORGET_SECONDS
            native(self._forget, delivery.events[-1].position)

    def _handle(self, events: Sequence[events_pb2.Event]) -> None:
        try:
            run_worker_method(self, EventBatch(self.name, events))
        except ContainerBeingKilled:
            raise Stopping from None

    def _bury(self, event: events_pb2.Event, error: Exception) -> None:
        native(self._store_dead_letter, event, error)

    def _store_dead_letter(self, event: events_pb2.Event, error: Exception) -> None:
        runtime = self.host.runtime
        with runtime.db.transaction() as connection:
            dead_letters.bury(connection, self.host.kit, self.name, event, error, runtime.clock.now())

    def _bury_again(self, event: events_pb2.Event, error: Exception) -> None:
        native(self._store_failure, event, error)

    def _store_failure(self, event: events_pb2.Event, error: Exception) -> None:
        runtime = self.host.runtime
        with runtime.db.transaction() as connection:
            dead_letters.fail_again(connection, self.host.kit, self.name, event, error, runtime.clock.now())

    def _forget(self, position: int) -> None:
        runtime = self.host.runtime
        # Twice as long as the source keeps events, whose retention may not be quite ours.
        before = runtime.clock.now() - 2 * timedelta(days=runtime.settings.event_retention_days)
        try:
            with runtime.db.transaction() as connection:
                consumer.forget_processed(connection, self.host.kit, self.name, before=before, until=position)
        except Exception as error:
            _log.warning(
                "%s: old records of processed events stay for now: %s", self.name, safe_summary(error)
            )
