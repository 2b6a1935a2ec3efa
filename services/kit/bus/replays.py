"""Dead letters that an operator put back: each is handled again by its consumer."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping

from rapport.events.v1 import events_pb2

from services.kit.bus.delivery import Stopping
from services.kit.bus.host import Host, StopSignal
from services.kit.bus.native import native
from services.kit.bus.subscriptions import Subscription
from services.kit.dead_letters import store
from services.kit.events.payload import event_uuid
from services.kit.log import safe_summary

_log = logging.getLogger(__name__)

LOOK_SECONDS = 1.0
LIMIT = 100


class Replays:
    """Look now and then for dead letters to be handled again, and give each to its subscription, one at a time."""

    def __init__(self, host: Host, subscriptions: Callable[[], Mapping[str, Subscription]]) -> None:
        self._host = host
        self._subscriptions = subscriptions
        self._stop = StopSignal()

    def run(self) -> None:
        """Work in this greenlet until stopped."""
        complained = False
        while not self._stop.wait(LOOK_SECONDS):
            try:
                while self._work() and not self._stop.is_set:
                    pass
                complained = False
            except Stopping:
                return
            except Exception as error:
                if not complained:
                    _log.warning("dead letters that were put back wait: %s", safe_summary(error))
                complained = True

    def stop(self) -> None:
        """Begin nothing more."""
        self._stop.set()

    def _work(self) -> bool:
        """Handle some, and tell whether there may be more."""
        here = self._subscriptions()
        # Another process of the service has the consumers that this one stands by for.
        mine = [name for name in here if self._host.locks.held(name)]
        found = native(self._find, mine) if mine else []
        for consumer, event in found:
            if self._stop.is_set:
                break
            if not native(self._begin, consumer, event):
                continue
            try:
                done = here[consumer].handle_again(event)
            except Stopping:
                native(self._put_off, consumer, event)
                raise
            if done:
                native(self._forget, consumer, event)
        return len(found) == LIMIT

    def _find(self, consumers: list[str]) -> list[tuple[str, events_pb2.Event]]:
        with self._host.runtime.db.read() as connection:
            return store.asked(connection, self._host.kit, consumers, LIMIT)

    def _begin(self, consumer: str, event: events_pb2.Event) -> bool:
        with self._host.runtime.db.transaction() as connection:
            return store.begin_replay(connection, self._host.kit, consumer, event_uuid(event))

    def _put_off(self, consumer: str, event: events_pb2.Event) -> None:
        with self._host.runtime.db.transaction() as connection:
            store.put_off_replay(connection, self._host.kit, consumer, event_uuid(event))

    def _forget(self, consumer: str, event: events_pb2.Event) -> None:
        with self._host.runtime.db.transaction() as connection:
            store.forget_replayed(connection, self._host.kit, consumer, event_uuid(event))
