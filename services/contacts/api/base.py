"""What the methods of the servicer share."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from typing import Any, TypeVar

from google.protobuf.message import Message
from rapport.contacts.v1 import contacts_pb2 as pb
from sqlalchemy import Connection

from services.contacts.codec.contacts import DraftDecoder, attribute_names
from services.contacts.codec.problems import Problems
from services.contacts.domain.attributes import Attribute
from services.contacts.models import kit
from services.contacts.store.writing import write
from services.contacts.usecases import registry
from services.kit import paging
from services.kit.idempotency import remember, replay
from services.kit.runtime import Runtime

LARGEST_PAGE = 1_000
R = TypeVar("R", bound=Message)


class Methods:
    """Hold the runtime for the methods of one subject."""

    def __init__(self, runtime: Runtime) -> None:
        """Serve from a runtime."""
        self._runtime = runtime

    def _decoder(self, problems: Problems, contacts: Collection[pb.Contact], *names: str) -> DraftDecoder:
        """Return a decoder that knows the attributes which contacts, and a mask, name."""
        runtime = self._runtime
        wanted = attribute_names(contacts).union(names)
        definitions: Mapping[str, Attribute] = {}
        if wanted:
            with runtime.db.read() as connection:
                definitions = registry.of(runtime.db).attributes(connection, wanted)
        return DraftDecoder(problems, runtime.clock.now(), runtime.settings.default_region, definitions)

    def _once_among_others(self, request: Any, response_type: type[R], work: Callable[[Connection], R]) -> R:
        """Do something like `_once`, again from the start while others get in between."""

        def whole(connection: Connection) -> R:
            done = replay(connection, kit.request_log, request.request_id, request, response_type)
            if done is not None:
                return done
            response = work(connection)
            now = self._runtime.clock.now()
            remember(connection, kit.request_log, request.request_id, request, response, now)
            return response

        return write(self._runtime.db, whole)

    def _once(self, request: Any, response_type: type[R], work: Callable[[Connection], R]) -> R:
        """Do something in a transaction, once for each request id."""
        with self._runtime.db.transaction() as connection:
            done = replay(connection, kit.request_log, request.request_id, request, response_type)
            if done is not None:
                return done
            response = work(connection)
            now = self._runtime.clock.now()
            remember(connection, kit.request_log, request.request_id, request, response, now)
            return response

    def _page(self, request: Any, default: int) -> tuple[dict[str, Any] | None, int]:
        """Return where the page that a request asks for begins (None: at the start), and its size."""
        size = paging.page_size(request.page_size, default, LARGEST_PAGE)
        return paging.decode(request.page_token, request, self._runtime.signer), size

    def _token(self, request: Message, more: bool, **position: Any) -> str:
        """Return the token of the page behind a position, empty when there is none."""
        return paging.encode(position, request, self._runtime.signer) if more else ""
