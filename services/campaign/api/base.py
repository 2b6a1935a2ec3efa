"""What the methods of the servicers share."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

from google.protobuf.message import Message
from sqlalchemy import Connection

from services.campaign.models import kit
from services.kit import paging
from services.kit.idempotency import remember, replay
from services.kit.runtime import Runtime

T = TypeVar("T")
R = TypeVar("R", bound=Message)
SIZES = (50, 1000)
"""Items of a page unless the caller says otherwise, and at most."""


class Methods:
    """Hold the runtime for the methods of one subject."""

    def __init__(self, runtime: Runtime) -> None:
        """Serve from a runtime."""
        self._runtime = runtime

    def once(self, request: Any, response_type: type[R], make: Callable[[Connection], R]) -> R:
        """Do something once for its request id, in one transaction."""
        with self._runtime.db.transaction() as connection:
            done = replay(connection, kit.request_log, request.request_id, request, response_type)
            if done is not None:
                return done
            response = make(connection)
            remember(
                connection, kit.request_log, request.request_id, request, response, self._runtime.clock.now()
            )
            return response

    def page_by_id(
        self, request: Any, read: Callable[[str, int], Sequence[T]], key: Callable[[T], str]
    ) -> tuple[Sequence[T], str]:
        return self.page(
            request,
            SIZES,
            lambda place, count: read(place["id"] if place else "", count),
            lambda item: {"id": key(item)},
        )

    def page(
        self,
        request: Any,
        sizes: tuple[int, int],
        read: Callable[[Mapping[str, Any] | None, int], Sequence[T]],
        place_of: Callable[[T], Mapping[str, Any]],
    ) -> tuple[Sequence[T], str]:
        """Read one page and make the token of the next."""
        signer = self._runtime.signer
        size = paging.page_size(request.page_size, *sizes)
        # One more than asked for tells whether there is a next page.
        found = read(paging.decode(request.page_token, request, signer), size + 1)
        if len(found) <= size:
            return found, ""
        return found[:size], paging.encode(place_of(found[size - 1]), request, signer)
