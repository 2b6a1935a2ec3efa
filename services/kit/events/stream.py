"""The servicer of rapport.events.v1.EventService: a durable, replayable stream of the service's events."""

from __future__ import annotations

import re
import threading
import time
from collections import Counter
from collections.abc import Iterator
from uuid import UUID

import grpc
from rapport.events.v1 import events_pb2, events_pb2_grpc

from services.kit import context as call_context
from services.kit.auth import SERVICE_PREFIX
from services.kit.clock import Clock
from services.kit.config import SERVICES
from services.kit.db import Database
from services.kit.errors import (
    FailedPrecondition,
    InvalidArgument,
    OutOfRange,
    OverLimit,
    PermissionDenied,
    Unavailable,
)
from services.kit.events import store
from services.kit.events.recent import Recent
from services.kit.events.tail import Tail
from services.kit.tables import KitTables

DEFAULT_BATCH, LARGEST_BATCH = 500, 5_000
WINDOW = 50_000
"""Positions that one query looks through at the most, lest a rare type scan the whole log at once."""

HEARTBEAT_SECONDS = 0.5
"""How long a cursor that moved only over other types may stay untold."""

KEEPALIVE_SECONDS = 15.0
"""How long a stream may be silent."""

REST_SECONDS, REST_FOR_EACH = 0.2, 0.001
"""How long a stream rests after a batch that was not full: so long for each of its events, up to a bound.

A consumer's transaction and acknowledgement cost as much as a hundred events do, so that when much happens, batches
have to be large. When little does, nobody waits.
"""

_BEHIND_SECONDS = 0.25
_READERS = 4
_OPERATOR = "events.deadletters.write"
_NAME = re.compile(r"[a-z0-9._-]{1,100}")


class EventStream(events_pb2_grpc.EventServiceServicer):
    """Serve the events of one service.

    Start it before the server and stop it just before the server stops: open streams then end with
    UNAVAILABLE. streams_per_caller: streams that one principal (without tokens: one address) may hold.
    max_batch_bytes: soft bound on a response.
    """

    def __init__(
        self,
        service: str,
        db: Database,
        kit: KitTables,
        clock: Clock,
        *,
        streams_per_caller: int = 16,
        max_batch_bytes: int = 4 << 20,
    ) -> None:
        self._service = service
        self._db = db
        self._kit = kit
        self._clock = clock
        self._recent = Recent(self._load)
        self._tail = Tail(db.engine, kit, each_look=self._recent.forget)
        self._streams_per_caller = streams_per_caller
        self._max_batch_bytes = max_batch_bytes
        self._open: Counter[str] = Counter()
        self._open_lock = threading.Lock()
        # Streams share the pool of connections with all other calls and must not empty it.
        self._readers = threading.BoundedSemaphore(_READERS)

    def start(self) -> None:
        """Start following the stream's head."""
        self._tail.start()

    def stop(self) -> None:
        """End all streams."""
        self._tail.stop()

    @property
    def open_streams(self) -> int:
        """Return how many streams are open now."""
        return self._open.total()

    def Subscribe(
        self, request: events_pb2.SubscribeRequest, context: grpc.ServicerContext
    ) -> Iterator[events_pb2.SubscribeResponse]:
        """Stream batches from the cursor on, until the caller goes or the server stops."""
        if request.subscription:
            _check_name(request.subscription)
        types = sorted(set(request.types))
        self._enter(context, types)
        self._first_head(context)
        timeline, after = self._start_place(request)
        limit = min(request.max_batch_size or DEFAULT_BATCH, LARGEST_BATCH)
        told, spoke = after, time.monotonic()
        rest = 0.0
        while context.is_active():
            if self._tail.stopping:
                raise Unavailable(
                    f"the event stream of {self._service} is stopping; reconnect", reason="STOPPING"
                )
            current = self._tail.head
            assert current is not None
            if self._is_behind(current, timeline):
                self._tail.wait_beyond(current.position, _BEHIND_SECONDS)
                continue
            self._check_place(current, timeline, after)
            events: list[events_pb2.Event] = []
            if after < current.position < after + limit and (left := spoke + rest - time.monotonic()) > 0:
                self._tail.wait_beyond(after + limit - 1, left)
                continue
            if current.position > after:
                events, after = self._read(current, after, types, limit)
            silence = time.monotonic() - spoke
            due = HEARTBEAT_SECONDS if after != told else KEEPALIVE_SECONDS
            if events or silence >= due:
                cursor = events_pb2.Cursor(timeline=str(timeline), position=after)
                yield events_pb2.SubscribeResponse(events=events, cursor=cursor)
                told, spoke = after, time.monotonic()
                rest = 0.0 if len(events) == limit else min(len(events) * REST_FOR_EACH, REST_SECONDS)
            elif after >= current.position:
                self._tail.wait_beyond(after, due - silence)

    def Acknowledge(
        self, request: events_pb2.AcknowledgeRequest, context: grpc.ServicerContext
    ) -> events_pb2.AcknowledgeResponse:
        """Move a subscription's cursor."""
        _check_name(request.subscription)
        _check_owner(request.subscription)
        timeline = _timeline(request.cursor.timeline, "cursor.timeline")
        position = request.cursor.position
        with self._db.transaction() as connection:
            head = store.read_head(connection, self._kit)
            if timeline != head.timeline:
                raise self._changed(head, timeline, store.read_end(connection, self._kit, timeline))
            _check_position(position, "cursor.position")
            self._check_not_ahead(head, position)
            now = store.save_cursor(
                connection,
                self._kit,
                request.subscription,
                timeline,
                position,
                rewind=request.rewind,
                time=self._clock.now(),
            )
        return events_pb2.AcknowledgeResponse(cursor=events_pb2.Cursor(timeline=str(timeline), position=now))

    def GetStream(
        self, request: events_pb2.GetStreamRequest, context: grpc.ServicerContext
    ) -> events_pb2.GetStreamResponse:
        """Tell where the stream and its subscriptions stand."""
        with self._db.snapshot() as connection:
            head = store.read_head(connection, self._kit)
            waiting = store.count_unpositioned(connection, self._kit)
            cursors = store.list_cursors(connection, self._kit)
        response = events_pb2.GetStreamResponse(
            head=events_pb2.Cursor(timeline=str(head.timeline), position=head.position),
            oldest_position=head.purged + 1 if head.position > head.purged else 0,
            unpositioned_events=waiting,
        )
        for cursor in cursors:
            item = response.subscriptions.add(name=cursor.name, lag=head.position - cursor.position)
            item.cursor.timeline = str(cursor.timeline)
            item.cursor.position = cursor.position
            item.update_time.FromDatetime(cursor.update_time)
        return response

    def _enter(self, context: grpc.ServicerContext, types: list[str]) -> None:
        caller = call_context.principal() or context.peer().rpartition(":")[0]
        with self._open_lock:
            if self._open[caller] >= self._streams_per_caller:
                raise OverLimit(
                    f"{caller} holds {self._open[caller]} event streams of {self._service} already, "
                    "the most allowed; end one, or raise RAPPORT_EVENT_STREAMS_PER_CALLER",
                    reason="TOO_MANY_STREAMS",
                    metadata={"limit": str(self._streams_per_caller)},
                )
            self._open[caller] += 1
        self._recent.join(types)

        def left() -> None:
            with self._open_lock:
                self._open[caller] -= 1
                if not self._open[caller]:
                    del self._open[caller]
            self._recent.leave(types)
            self._tail.wake()

        # The callback, unlike a finally block, runs at once when the caller goes while the stream is
        # suspended.
        if not context.add_callback(left):
            left()

    def _first_head(self, context: grpc.ServicerContext) -> store.Head:
        while context.is_active() and not self._tail.stopping:
            head = self._tail.wait_beyond(-1, 1.0)
            if head is not None:
                return head
        raise Unavailable(f"the event stream of {self._service} is not ready; try again", reason="NOT_READY")

    def _is_behind(self, seen: store.Head, timeline: UUID) -> bool:
        """Tell whether the head was seen last before the timeline of a stream began; raises when that is over."""
        if seen.timeline == timeline:
            return False
        with self._db.read() as connection:
            head = store.read_head(connection, self._kit)
        if head.timeline != timeline:
            raise self._changed(head, timeline, None)
        return True

    def _start_place(self, request: events_pb2.SubscribeRequest) -> tuple[UUID, int]:
        with self._db.read() as connection:
            # The tail may be a moment behind a cursor that was just acknowledged, or a purge.
            head = store.read_head(connection, self._kit)
            stored = end = None
            if request.subscription and not request.HasField("start"):
                stored = store.load_cursor(connection, self._kit, request.subscription)
            if stored is not None:
                timeline, position = stored.timeline, stored.position
            elif request.start.timeline or request.start.position:
                timeline, position = (
                    _timeline(request.start.timeline, "start.timeline"),
                    request.start.position,
                )
                _check_position(position, "start.position")
            else:
                return head.timeline, head.purged
            if timeline != head.timeline:
                end = store.read_end(connection, self._kit, timeline)
        if timeline != head.timeline:
            # Who says how far it came before the fork goes on from there. A stored place does not say so: it was
            # restored, and its subscriber may have come farther since the backup.
            if stored is not None or end is None or position > end:
                raise self._changed(head, timeline, end, request.subscription if stored is not None else "")
            timeline = head.timeline
        self._check_place(head, timeline, position)
        self._check_not_ahead(head, position)
        return timeline, position

    def _check_place(self, head: store.Head, timeline: UUID, position: int) -> None:
        if timeline != head.timeline:
            raise self._changed(head, timeline, None)
        if position < head.purged:
            raise OutOfRange(
                f"the events of {self._service} after position {position} are no longer kept "
                f"(oldest: {head.purged + 1}); rebuild from the service's data, then acknowledge "
                f"{head.purged} to go on",
                reason="EVENTS_EXPIRED",
                metadata={"oldest_position": str(head.purged + 1)},
            )

    def _changed(
        self, head: store.Head, timeline: UUID, end: int | None, subscription: str = ""
    ) -> FailedPrecondition:
        """Return the error for a cursor of another timeline; end: where that one ended, if it is known."""
        whose = f"the place of subscription {subscription!r}" if subscription else "the cursor"
        metadata = {"timeline": str(head.timeline)}
        if end is None:
            advice = (
                "what you know of it may be undone: read the service's data anew, then acknowledge a cursor of "
                "the present one with rewind set"
            )
        else:
            metadata["fork_position"] = str(end)
            advice = (
                f"its events after position {end} are undone. If you had none of these, acknowledge your position "
                f"on the present timeline with rewind set; otherwise undo them, or read the service's data anew, "
                f"and acknowledge {end}"
            )
        return FailedPrecondition(
            f"{whose} belongs to timeline {timeline} of {self._service}, which a restore has ended; "
            f"the present one is {head.timeline}; {advice}",
            reason="TIMELINE_CHANGED",
            metadata=metadata,
        )

    def _check_not_ahead(self, head: store.Head, position: int) -> None:
        if position > head.position:
            raise OutOfRange(
                f"position {position} of {self._service} was never given out; the newest is {head.position}",
                reason="CURSOR_AHEAD",
                metadata={"head_position": str(head.position)},
            )

    def _read(
        self, head: store.Head, after: int, types: list[str], limit: int
    ) -> tuple[list[events_pb2.Event], int]:
        """Return the next events and the cursor behind them."""
        if (shared := self._recent.read(head, after, types, limit)) is not None:
            events, until = shared
        else:
            until = min(head.position, after + WINDOW)
            events = self._load(head, after, until, types, limit)
            if len(events) == limit:
                until = events[-1].position
        size = 0
        for number, event in enumerate(events):
            size += event.ByteSize()
            if size > self._max_batch_bytes and number:
                return events[:number], events[number - 1].position
        return events, until

    def _load(
        self, head: store.Head, after: int, until: int, types: list[str], limit: int
    ) -> list[events_pb2.Event]:
        """Read events from the database; raises OutOfRange when some of them are no longer kept."""
        with self._readers, self._db.read() as connection:
            events = store.read_events(
                connection, self._kit, self._service, after=after, until=until, types=types, limit=limit
            )
            # Looked at after the read: what had not been purged by now was there to be read.
            self._check_place(store.read_head(connection, self._kit), head.timeline, after)
        return events


def _check_name(name: str) -> None:
    if not _NAME.fullmatch(name):
        raise InvalidArgument.field(
            "subscription",
            f"expected at most 100 lower-case letters, digits, '-', '_' and '.', got {name[:120]!r}",
            reason="INVALID_SUBSCRIPTION_NAME",
        )


def _check_owner(name: str) -> None:
    """Raise PermissionDenied (SUBSCRIPTION_OF_A_SERVICE) when the cursor is of another one, a service's worker.

    Moved forward, it would keep events from the worker for ever. Who may drop dead letters may do as much already.
    """
    owner, dot, _ = name.partition(".")
    if not dot or owner not in SERVICES or call_context.principal() in ("", f"{SERVICE_PREFIX}{owner}"):
        return
    if call_context.scope_of(_OPERATOR) is None:
        raise PermissionDenied(
            f"subscriptions that begin with {owner!r} and a dot are of that service's worker: take another name",
            reason="SUBSCRIPTION_OF_A_SERVICE",
            metadata={"permission": _OPERATOR, "principal": call_context.principal()},
        )


def _check_position(position: int, field: str) -> None:
    if position < 0:
        raise InvalidArgument.field(field, f"must not be negative, got {position}")


def _timeline(text: str, field: str) -> UUID:
    try:
        return UUID(text)
    except ValueError:
        raise InvalidArgument.field(
            field, f"expected the timeline of a cursor that was given out, got {text[:60]!r}"
        ) from None
