"""What the methods of the servicers share."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

from google.protobuf.message import Message

from services.care.models import kit
from services.kit import paging
from services.kit.idempotency import remember, replay
from services.kit.runtime import Runtime

M = TypeVar("M", bound=Message)


class Methods:
    """Hold the runtime for the methods of one subject."""

    def __init__(self, runtime: Runtime) -> None:
        """Serve from a runtime."""
        self._runtime = runtime

    def once(self, request: Any, kind: type[M], work: Callable[[Any], M]) -> M:
        """Do something in a transaction, once for each request id."""
        with self._runtime.db.transaction() as connection:
            known = replay(connection, kit.request_log, request.request_id, request, kind)
            if known is not None:
                return known
            response = work(connection)
            now = self._runtime.clock.now()
            remember(connection, kit.request_log, request.request_id, request, response, now)
            return response

    def page(
        self,
        request: Any,
        sizes: tuple[int, int],
        read: Callable[[dict[str, Any] | None, int], Any],
        position: Callable[[Any], dict[str, Any]],
    ) -> tuple[list[Any], str]:
        """Read one page and make the token of the next."""
        size = paging.page_size(request.page_size, *sizes)
        after = paging.decode(request.page_token, request, self._runtime.signer)
        found = list(read(after, size + 1))
        if len(found) <= size:
            return found, ""
        return found[:size], paging.encode(position(found[size - 1]), request, self._runtime.signer)
