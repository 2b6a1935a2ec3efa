"""What happened, read again from the event streams of the other services, as far back as they keep it."""

from __future__ import annotations

import heapq
from collections import defaultdict
from collections.abc import Collection, Iterator
from datetime import datetime, timedelta
from typing import Any

from rapport.events.v1 import events_pb2

from services.campaign.domain.triggers import MEMBERSHIP
from services.kit.runtime import Runtime
from services.kit.wire import from_timestamp

SOURCES = {
    "contacts": ("contact.created", "contact.updated", "activity.recorded"),
    "sales": ("order.placed", "order.returned", "payment.received"),
    "segmentation": MEMBERSHIP,
}
"""The events that start and move journeys, by the service that tells them."""
_ACTIVITY = ("contacts", "activity.recorded")
_BATCH = 1_000
# Positions follow commits and times the moments before them, so neighbours may be in another order.
_SLACK = timedelta(minutes=5)


def wanted_from(types: Collection[str]) -> dict[str, list[str]]:
    """Return which events to read from which service, to hear of some types; those of no service are activities."""
    known = {name: source for source, names in SOURCES.items() for name in names}
    found: dict[str, set[str]] = defaultdict(set)
    for name in types:
        source, wanted = (known[name], name) if name in known else _ACTIVITY
        found[source].add(wanted)
    return {source: sorted(names) for source, names in found.items()}


class PastEvents:
    """Read the events of some types from a time on, up to where the streams stand when it begins.

    missing: from when on the events of a service are kept, for those that no longer keep all since then.
    """

    def __init__(self, runtime: Runtime, types: Collection[str], start: datetime) -> None:
        """Look where the streams stand; raises the client's errors."""
        self._runtime = runtime
        self._start = start
        self.missing: dict[str, datetime] = {}
        self._streams = {
            source: (names, *self._range(source)) for source, names in wanted_from(types).items()
        }

    def __iter__(self) -> Iterator[events_pb2.Event]:
        """Yield the events in the order in which they were recorded."""
        parts = [
            self._read(source, names, cursor, head)
            for source, (names, cursor, head) in self._streams.items()
            if cursor.position < head
        ]
        yield from heapq.merge(*parts, key=lambda event: event.record_time.ToNanoseconds())

    def _range(self, source: str) -> tuple[events_pb2.Cursor, int]:
        """Return after which position, and up to which, the events since the start are."""
        stream = self._runtime.clients.events(source).get_stream()
        head, oldest = stream.head.position, stream.oldest_position
        low = (oldest or head + 1) - 1
        high = head
        if oldest > 1 and (first := self._event_after(source, stream.head.timeline, low)) is not None:
            kept = from_timestamp(first.record_time)
            if kept > self._start:
                self.missing[source] = kept
        while low < high:
            middle = (low + high) // 2
            event = self._event_after(source, stream.head.timeline, middle)
            if event is None or from_timestamp(event.record_time) >= self._start - _SLACK:
                high = middle
            else:
                low = max(middle + 1, event.position)
        return events_pb2.Cursor(timeline=stream.head.timeline, position=low), head

    def _event_after(self, source: str, timeline: str, position: int) -> events_pb2.Event | None:
        with self._subscribe(source, timeline, position, (), 1) as batches:
            for batch in batches:
                if batch.events:
                    event: events_pb2.Event = batch.events[0]
                    return event
        return None

    def _read(
        self, source: str, names: Collection[str], cursor: events_pb2.Cursor, head: int
    ) -> Iterator[events_pb2.Event]:
        with self._subscribe(source, cursor.timeline, cursor.position, names, _BATCH) as batches:
            for batch in batches:
                for event in batch.events:
                    if event.position <= head and from_timestamp(event.record_time) >= self._start:
                        yield event
                if batch.cursor.position >= head:
                    return

    def _subscribe(self, source: str, timeline: str, position: int, names: Collection[str], size: int) -> Any:
        return self._runtime.clients.events(source).subscribe(
            start=events_pb2.Cursor(timeline=timeline, position=position),
            types=list(names),
            max_batch_size=size,
        )
