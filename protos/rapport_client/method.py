"""One RPC as a Python callable, made from its descriptor."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from typing import Any, Self
from uuid import uuid4

import grpc
from google.protobuf.descriptor import FieldDescriptor, MethodDescriptor
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass

from rapport_client import retry
from rapport_client.errors import RapportError, from_rpc_error
from rapport_client.requests import build
from rapport_client.retry import RetryPolicy
from rapport_client.tracing import trace_metadata

Metadata = tuple[tuple[str, str], ...]


class CallSettings:
    """Hold what all calls of a client share."""

    def __init__(
        self,
        *,
        timeout: float,
        wait_for_ready: bool,
        retry: RetryPolicy,
        metadata: Callable[[], Metadata],
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        """timeout: seconds for a unary call with its retries.

        Metadata: called for each call; sleep: waits between.
        """
        self.timeout = timeout
        self.wait_for_ready = wait_for_ready
        self.retry = retry
        self.metadata = metadata
        self.sleep = sleep


class Method:
    """Call one RPC.

    Call it with a request message, or with the request's fields as keywords. Keywords that begin with an
    underscore are options of the call: `_timeout` (seconds, retries included), `_metadata` (pairs),
    `_wait_for_ready`, `_retry` (a RetryPolicy). A method that takes a stream of requests is called with an
    iterable of messages; one that returns a stream returns a Stream, and has no timeout by default.
    """

    def __init__(self, channel: grpc.Channel, descriptor: MethodDescriptor, settings: CallSettings) -> None:
        self._descriptor = descriptor
        self._settings = settings
        self._safe = retry.is_safe(descriptor)
        self._fills_request_id = retry.has_request_id(descriptor)
        self.request_class: type[Message] = GetMessageClass(descriptor.input_type)
        self.response_class: type[Message] = GetMessageClass(descriptor.output_type)
        self.name = f"{descriptor.containing_service.full_name}/{descriptor.name}"
        kind = (
            f"{'stream' if descriptor.client_streaming else 'unary'}_"
            f"{'stream' if descriptor.server_streaming else 'unary'}"
        )
        self._call: Any = getattr(channel, kind)(
            f"/{self.name}",
            request_serializer=self.request_class.SerializeToString,
            response_deserializer=self.response_class.FromString,
            _registered_method=True,
        )
        self.__doc__ = f"Call {self.name}; fields of the request: {', '.join(self.fields()) or 'none'}."

    def __repr__(self) -> str:
        return f"<method {self.name}({', '.join(self.fields())})>"

    def fields(self) -> tuple[str, ...]:
        """Return the names of the request's fields."""
        return tuple(field.name for field in self._descriptor.input_type.fields)

    def __call__(
        self,
        request: Message | Iterable[Message] | None = None,
        /,
        *,
        _timeout: float | None = None,
        _metadata: Iterable[tuple[str, str]] = (),
        _wait_for_ready: bool | None = None,
        _retry: RetryPolicy | None = None,
        **fields: Any,
    ) -> Any:
        """Make the call; returns the response, or a Stream. Raises errors of `rapport_client.errors`."""
        argument = self._argument(request, fields)
        options = {
            "metadata": self._metadata(_metadata),
            "wait_for_ready": self._settings.wait_for_ready if _wait_for_ready is None else _wait_for_ready,
        }
        if self._descriptor.server_streaming:
            return Stream(self._call(argument, timeout=_timeout, **options), self.name)
        timeout = self._settings.timeout if _timeout is None else _timeout
        if self._descriptor.client_streaming:
            # Its requests are used up after one attempt, so it is never repeated.
            return self._once(argument, timeout, options)
        return self._with_retries(argument, timeout, options, _retry or self._settings.retry)

    def pages(self, request: Message | None = None, /, **fields: Any) -> Iterator[Any]:
        """Yield the responses of a paged method, page by page; takes what a call takes."""
        if (
            not {"page_token"} <= set(self.fields())
            or "next_page_token" not in self._descriptor.output_type.fields_by_name
        ):
            raise TypeError(f"{self.name} has no pages")
        options = {key: fields.pop(key) for key in tuple(fields) if key.startswith("_")}
        page_request: Any = self._argument(request, fields)
        while True:
            page = self(page_request, **options)
            yield page
            if not page.next_page_token:
                return
            if page.next_page_token == page_request.page_token:
                raise RuntimeError(f"{self.name} returned the same page twice")
            page_request.page_token = page.next_page_token

    def iterate(self, request: Message | None = None, /, **fields: Any) -> Iterator[Any]:
        """Yield the items of all pages, one by one."""
        name = self._items_field().name
        for page in self.pages(request, **fields):
            yield from getattr(page, name)

    def _items_field(self) -> FieldDescriptor:
        for field in sorted(self._descriptor.output_type.fields, key=lambda field: field.number):
            if field.is_repeated:
                return field
        raise TypeError(f"{self.name} returns no list")

    def _argument(self, request: Any, fields: dict[str, Any]) -> Any:
        if self._descriptor.client_streaming:
            if request is None or isinstance(request, Message) or fields:
                raise TypeError(f"{self.name} takes an iterable of {self._descriptor.input_type.full_name}")
            return iter(request)
        if request is None:
            argument: Any = build(self.request_class, fields)
        elif fields:
            raise TypeError(f"{self.name} takes a request message or fields, not both")
        elif not isinstance(request, self.request_class):
            raise TypeError(
                f"{self.name} takes {self._descriptor.input_type.full_name}, got {type(request).__name__}"
            )
        else:
            argument = self.request_class()
            argument.CopyFrom(request)
        if self._fills_request_id and not argument.request_id:
            argument.request_id = str(uuid4())
        return argument

    def _metadata(self, extra: Iterable[tuple[str, str]]) -> Metadata:
        pairs = (*self._settings.metadata(), *extra)
        if not any(key == "x-request-id" for key, _ in pairs):
            pairs += (("x-request-id", uuid4().hex),)
        if not any(key == "traceparent" for key, _ in pairs):
            pairs += trace_metadata()
        return pairs

    def _once(self, argument: Any, timeout: float | None, options: dict[str, Any]) -> Any:
        try:
            return self._call(argument, timeout=timeout, **options)
        except grpc.RpcError as error:
            raise from_rpc_error(error, self.name) from error

    def _with_retries(
        self, argument: Any, timeout: float, options: dict[str, Any], policy: RetryPolicy
    ) -> Any:
        deadline = time.monotonic() + timeout
        attempt = 1
        while True:
            try:
                return self._once(argument, max(0.001, deadline - time.monotonic()), options)
            except RapportError as error:
                if attempt >= policy.attempts or not retry.may_retry(error, safe=self._safe):
                    raise
                delay = policy.delay(attempt, error)
                if time.monotonic() + delay >= deadline:
                    raise
            self._settings.sleep(delay)
            attempt += 1


class Stream:
    """Iterate over the responses of a stream; leave the `with` block, or call cancel, to end it."""

    def __init__(self, call: Any, method: str) -> None:
        self._call = call
        self._method = method
        self._cancelled = False

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> Any:
        try:
            return next(self._call)
        except grpc.RpcError as error:
            if self._cancelled:
                raise StopIteration from None
            raise from_rpc_error(error, self._method) from error

    def cancel(self) -> None:
        """End the stream; an iteration under way stops."""
        self._cancelled = True
        self._call.cancel()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.cancel()
