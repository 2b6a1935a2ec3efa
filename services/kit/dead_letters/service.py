"""The servicer of rapport.events.v1.DeadLetterService."""

from __future__ import annotations

from collections.abc import Sequence
from uuid import UUID

import grpc
from rapport.events.v1 import dead_letters_pb2 as pb
from rapport.events.v1 import dead_letters_pb2_grpc

from services.kit import paging
from services.kit.clock import Clock
from services.kit.db import Database
from services.kit.dead_letters import store
from services.kit.errors import InvalidArgument
from services.kit.signing import Signer
from services.kit.tables import KitTables

DEFAULT_PAGE, LARGEST_PAGE = 50, 1000


class DeadLetterService(dead_letters_pb2_grpc.DeadLetterServiceServicer):
    """Show the dead letters of one service's consumers, and do with them what an operator decides."""

    def __init__(self, db: Database, kit: KitTables, clock: Clock, signer: Signer) -> None:
        self._db = db
        self._kit = kit
        self._clock = clock
        self._signer = signer

    def ListDeadLetters(
        self, request: pb.ListDeadLettersRequest, context: grpc.ServicerContext
    ) -> pb.ListDeadLettersResponse:
        """Return a page of dead letters."""
        position = paging.decode(request.page_token, request, self._signer)
        after = (position["consumer"], position["time"], position["id"]) if position is not None else None
        limit = paging.page_size(request.page_size, DEFAULT_PAGE, LARGEST_PAGE)
        with self._db.read() as connection:
            letters, last = store.list_page(
                connection, self._kit, consumer=request.consumer, after=after, limit=limit
            )
        token = ""
        if last is not None:
            place = {"consumer": last[0], "time": last[1], "id": last[2]}
            token = paging.encode(place, request, self._signer)
        return pb.ListDeadLettersResponse(dead_letters=letters, next_page_token=token)

    def ReplayDeadLetters(
        self, request: pb.ReplayDeadLettersRequest, context: grpc.ServicerContext
    ) -> pb.ReplayDeadLettersResponse:
        """Put dead letters back to their consumer."""
        keys = _keys(request.event_ids, every=request.all)
        with self._db.transaction() as connection:
            done = store.ask_for_replay(connection, self._kit, request.consumer, keys, self._clock.now())
        return pb.ReplayDeadLettersResponse(
            replayed_count=done.changed,
            waiting_count=done.before,
            missing_event_ids=_as_written(request.event_ids, done.missing),
        )

    def DropDeadLetters(
        self, request: pb.DropDeadLettersRequest, context: grpc.ServicerContext
    ) -> pb.DropDeadLettersResponse:
        """Delete dead letters."""
        keys = _keys(request.event_ids, every=request.all)
        with self._db.transaction() as connection:
            done = store.drop(connection, self._kit, request.consumer, keys)
        return pb.DropDeadLettersResponse(
            dropped_count=done.changed, missing_event_ids=_as_written(request.event_ids, done.missing)
        )


def _keys(event_ids: Sequence[str], *, every: bool) -> list[UUID] | None:
    """Return the ids asked for, or None for all."""
    if every == bool(event_ids):
        raise InvalidArgument.field("event_ids", "name events, or set `all`, and not both")
    keys = []
    for number, text in enumerate(event_ids):
        try:
            keys.append(UUID(text))
        except ValueError:
            raise InvalidArgument.field(
                f"event_ids[{number}]", f"expected the id of an event, a UUID, got {text[:60]!r}"
            ) from None
    return None if every else keys


def _as_written(event_ids: Sequence[str], keys: Sequence[UUID]) -> list[str]:
    return [text for text in dict.fromkeys(event_ids) if UUID(text) in keys]
