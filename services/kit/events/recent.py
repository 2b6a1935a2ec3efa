"""The newest events of a stream, held for a moment: those who follow its head read them once, not once each."""

from __future__ import annotations

import threading
import time
from bisect import bisect_right
from collections import Counter
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field
from operator import attrgetter
from uuid import UUID

from rapport.events.v1 import events_pb2

from services.kit.events.store import Head

KEPT_SECONDS = 2.0
"""How long events are held. They are people's data, so no longer than those at the head may need for their turn."""

MOST_EVENTS, MOST_BYTES = 10_000, 16 << 20
SPAN = 2_000
"""So many positions behind the head is still at the head; and so many are read at once."""

Load = Callable[[Head, int, int, list[str], int], list[events_pb2.Event]]
"""Takes a head, `after`, `until`, types (none: all) and a number, and reads so many of the events with
`after` < position <= `until`, in order."""


@dataclass
class _Held:
    """Hold the events of the wanted types with `start` < position <= `end`, and when the first of them came."""

    timeline: UUID
    start: int
    end: int
    since: float
    events: list[events_pb2.Event] = field(default_factory=list)
    size: int = 0


class Recent:
    """Share the reading of the newest events between streams; used from many threads."""

    def __init__(self, load: Load, clock: Callable[[], float] = time.monotonic) -> None:
        self._load = load
        self._clock = clock
        self._lock = threading.Lock()
        self._wanted: Counter[str] = Counter()
        self._everything = 0
        self._held: _Held | None = None

    def join(self, types: Collection[str]) -> None:
        """Say that another stream follows events of these types (none: all)."""
        with self._lock:
            known = self._covers(types)
            self._wanted.update(types)
            self._everything += not types
            if not known:
                self._held = None

    def leave(self, types: Collection[str]) -> None:
        """Say that a stream that joined with these types has ended."""
        with self._lock:
            self._wanted.subtract(types)
            self._wanted += Counter()
            self._everything -= not types
            if not self._wanted and not self._everything:
                self._held = None

    def read(
        self, head: Head, after: int, types: Sequence[str], limit: int
    ) -> tuple[list[events_pb2.Event], int] | None:
        """Return the next events of types and the position up to which there are no others.

        None when they are not at hand, because `after` lies too far behind the head or what is held: then they are to
        be read without this.
        """
        with self._lock:
            held = self._current(head)
            if held is not None and after < held.start:
                return None
            if held is None or held.end < max(after, head.position):
                if head.position - after > SPAN:
                    return None
                if held is None or held.end < after:
                    held = self._held = _Held(head.timeline, after, after, self._clock())
                self._extend(held, head)
            first = bisect_right(held.events, after, key=attrgetter("position"))
            found: list[events_pb2.Event] = []
            chosen = frozenset(types)
            for event in held.events[first:]:
                if not chosen or event.type in chosen:
                    found.append(event)
                    if len(found) == limit:
                        return found, event.position
            return found, max(after, held.end)

    def forget(self) -> None:
        """Let go of what has been held for too long."""
        with self._lock:
            if self._held is not None and self._clock() - self._held.since > KEPT_SECONDS:
                self._held = None

    def _covers(self, types: Collection[str]) -> bool:
        return bool(self._everything) or (bool(types) and all(self._wanted[name] for name in types))

    def _current(self, head: Head) -> _Held | None:
        held = self._held
        if held is None or held.timeline != head.timeline or held.start < head.purged:
            return None
        if (
            self._clock() - held.since > KEPT_SECONDS
            or len(held.events) > MOST_EVENTS
            or held.size > MOST_BYTES
        ):
            return None
        return held

    def _extend(self, held: _Held, head: Head) -> None:
        types = [] if self._everything else sorted(self._wanted)
        found = self._load(head, held.end, head.position, types, SPAN)
        if not held.events:
            held.since = self._clock()
        held.events += found
        held.size += sum(event.ByteSize() for event in found)
        held.end = found[-1].position if len(found) == SPAN else head.position
