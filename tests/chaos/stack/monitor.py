"""How far the consumers of all services are behind what was committed, looked at all the time."""

from __future__ import annotations

import threading
import time
from contextlib import suppress
from dataclasses import dataclass

import psycopg

from services.kit.config import SERVICES
from tests.chaos.stack.scene import Scene

LOOK_SECONDS = 0.5
_WHERE = (
    "SELECT (SELECT count(*) FROM outbox), (SELECT count(*) FROM outbox WHERE position IS NULL), "
    "coalesce((SELECT last_position FROM stream), 0), (SELECT min(position) FROM subscription), "
    "(SELECT count(*) FROM dead_letter)"
)


@dataclass(frozen=True, slots=True)
class Standing:
    """Say how many events a service has committed, how far the last of its subscriptions is, and what is unordered."""

    committed: int
    unordered: int
    head: int
    done: int
    dead: int

    @property
    def level(self) -> bool:
        """Tell whether nothing waits for anybody."""
        return not self.unordered and self.done >= self.head


def standing(scene: Scene, service: str) -> Standing:
    """Return where the stream of a service stands; raises psycopg.Error while its database is away."""
    ((committed, unordered, head, done, dead),) = scene.ask(service, _WHERE)
    # A stream that nobody reads is level.
    return Standing(committed, unordered, head, head if done is None else done, dead)


class Monitor:
    """Look at all streams now and then; `with` starts and ends it."""

    def __init__(self, scene: Scene) -> None:
        self._scene = scene
        self._looks: list[tuple[float, dict[str, Standing]]] = []
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="monitor", daemon=True)
        self._began = 0.0

    def __enter__(self) -> Monitor:
        self._began = time.monotonic()
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    def await_level(self, seconds: float) -> bool:
        """Wait until every event of every service had its effect everywhere; False when the time is over first."""
        until = time.monotonic() + seconds
        before = len(self._looks)
        while time.monotonic() < until:
            # What was seen before this began says nothing, nor does the look that was under way then.
            looks = self._looks[before + 1 :][-2:]
            # Twice: effects bring about new events.
            if len(looks) == 2 and all(one.level for _, found in looks for one in found.values()):
                return True
            self._stop.wait(LOOK_SECONDS / 2)
        return False

    def level_after(self, at: float) -> float | None:
        """Return how long after a time all that was committed by then had its effect; None when that was not seen."""
        before = [found for when, found in self._looks if when <= at]
        if not before:
            return None
        wanted = {service: one.committed for service, one in before[-1].items()}
        for when, found in self._looks:
            # Positions have no gaps, so the last of so many events stands at that position at the latest.
            if when > at and all(found[service].done >= count for service, count in wanted.items()):
                return when - at
        return None

    def _watch(self) -> None:
        while not self._stop.is_set():
            with suppress(psycopg.Error):
                found = {service: standing(self._scene, service) for service in SERVICES}
                self._looks.append((time.monotonic() - self._began, found))
            self._stop.wait(LOOK_SECONDS)
