"""What happens to a batch whose handler fails: retries, bisection, dead letters.

Knows no transport and no nameko.
"""

from __future__ import annotations

import logging
import random
from collections.abc import Callable, Sequence

from rapport.events.v1 import events_pb2

from services.kit import context
from services.kit.bus import metrics
from services.kit.log import safe_summary
from services.kit.transient import is_transient

_log = logging.getLogger(__name__)

BATCH_ATTEMPTS = 5
"""Tries of a whole batch that fails for good, before it is taken apart."""

SINGLE_ATTEMPTS = 3
"""Tries of the event that was found to fail, before it becomes a dead letter."""

FIRST_PAUSE, LONGEST_PAUSE = 0.1, 30.0

Events = Sequence[events_pb2.Event]


class Stopping(Exception):
    """Report that the process stops; what was not done is delivered again."""


class ConsumerEnded(Exception):
    """Say of an event that its consumer ended, again and again, while it had it in hand."""

    def __init__(self) -> None:
        super().__init__(
            "the process ended each time while it had the event in hand; its log may say of what"
        )


class Deliverer:
    """Bring batches to one consumer.

    handle: runs the handler on events and raises what it raises. bury: stores an event as a dead letter with
    its error. pause: waits so many seconds; returns True when the process is stopping.
    """

    def __init__(
        self,
        consumer: str,
        *,
        handle: Callable[[Events], None],
        bury: Callable[[events_pb2.Event, Exception], None],
        pause: Callable[[float], bool],
    ) -> None:
        self._consumer = consumer
        self._handle = handle
        self._bury = bury
        self._pause = pause

    def deliver(self, events: Events) -> bool:
        """Return once every event has had its effect or is a dead letter, and whether none is; raises Stopping."""
        error = self._attempt(events, BATCH_ATTEMPTS)
        if error is None:
            return True
        if len(events) == 1:
            self.give_up(events[0], error)
            return False
        with context.of_error(error):
            _log.warning(
                "%s failed %d times on %d events, trying them apart: %s",
                self._consumer,
                BATCH_ATTEMPTS,
                len(events),
                safe_summary(error),
            )
        return self._bisect(events)

    def _bisect(self, events: Events) -> bool:
        middle = len(events) // 2
        fine = True
        for half in (events[:middle], events[middle:]):
            error = self._attempt(half, 1 if len(half) > 1 else SINGLE_ATTEMPTS)
            if error is None:
                continue
            if len(half) > 1:
                fine &= self._bisect(half)
            else:
                self.give_up(half[0], error)
                fine = False
        return fine

    def _attempt(self, events: Events, attempts: int) -> Exception | None:
        """Run the handler until it succeeds, or failed for good so many times; return the last error."""
        pause = FIRST_PAUSE
        failures = 0
        while True:
            try:
                with metrics.SECONDS.labels(self._consumer).time():
                    self._handle(events)
                metrics.EVENTS.labels(self._consumer).inc(len(events))
                return None
            except Stopping:
                raise
            except Exception as error:
                transient = is_transient(error)
                failures += not transient
                metrics.FAILURES.labels(self._consumer, "transient" if transient else "lasting").inc()
                if failures >= attempts:
                    return error
                with context.of_error(error):
                    _log.warning(
                        "%s failed on %d events (%s), trying again in %.1f s: %s",
                        self._consumer,
                        len(events),
                        "transient" if transient else f"attempt {failures} of {attempts}",
                        pause,
                        safe_summary(error),
                    )
                self._rest(pause)
                pause = min(pause * 2, LONGEST_PAUSE)

    def give_up(self, event: events_pb2.Event, error: Exception) -> None:
        """Return once an event is a dead letter; raises Stopping."""
        with context.of_error(error, event.traceparent):
            _log.error(
                "%s cannot process event %s (%s of %s, position %d); it is kept in dead_letter",
                self._consumer,
                event.id,
                event.type,
                event.source,
                event.position,
                exc_info=error,
            )
        pause = FIRST_PAUSE
        while True:
            try:
                self._bury(event, error)
                metrics.DEAD_LETTERS.labels(self._consumer).inc()
                return
            except Exception as failure:
                # Losing the event is no option: without its dead letter it stays unacknowledged.
                _log.error(
                    "%s: the dead letter of %s was not stored: %s",
                    self._consumer,
                    event.id,
                    safe_summary(failure),
                )
                self._rest(pause)
                pause = min(pause * 2, LONGEST_PAUSE)

    def _rest(self, seconds: float) -> None:
        if self._pause(seconds * random.uniform(0.75, 1.25)):
            raise Stopping
