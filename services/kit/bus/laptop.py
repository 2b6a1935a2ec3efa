"""The transport without a broker: each service's event stream over gRPC."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from typing import Any, cast

import grpc
from rapport.events.v1 import events_pb2, events_pb2_grpc
from rapport_client.tls import ChannelSecurity

from services.kit.access.outgoing import client_tls, token_provider
from services.kit.bus.transport import Delivery, Stream, StreamBroken
from services.kit.config import Settings

_HELP = {
    grpc.StatusCode.UNAUTHENTICATED,
    grpc.StatusCode.PERMISSION_DENIED,
    grpc.StatusCode.INVALID_ARGUMENT,
    grpc.StatusCode.OUT_OF_RANGE,
    grpc.StatusCode.FAILED_PRECONDITION,
    grpc.StatusCode.UNIMPLEMENTED,
}
ACKNOWLEDGE_SECONDS = 30.0
UNARY_SECONDS = 5.0


class LaptopTransport:
    """Open streams at the event ports of the services; one channel per source and process."""

    def __init__(self, settings: Settings, service: str = "") -> None:
        """service: who subscribes; raises InvalidArgument (SERVICE_KEY_FILE)."""
        self._settings = settings
        self._token = token_provider(settings, service)
        self._security = ChannelSecurity(client_tls(settings), None)
        self._channels: dict[str, grpc.Channel] = {}
        self._retired: list[grpc.Channel] = []
        self._lock = threading.Lock()

    def open(self, source: str, subscription: str, types: Sequence[str], batch_size: int) -> Stream:
        """Open a subscription; nothing is sent before the first `next`."""
        request = events_pb2.SubscribeRequest(
            subscription=subscription, types=types, max_batch_size=batch_size
        )
        return _LaptopStream(self._stub(source), request, lambda: self._metadata(source), self._where(source))

    def state(self, source: str) -> events_pb2.GetStreamResponse:
        """Return where a source's stream and its subscriptions stand; raises StreamBroken."""
        request = events_pb2.GetStreamRequest()
        try:
            answer: events_pb2.GetStreamResponse = self._stub(source).GetStream(
                request, metadata=self._metadata(source), timeout=UNARY_SECONDS
            )
            return answer
        except grpc.RpcError as error:
            raise _broken(error, self._where(source)) from None

    def acknowledge(self, source: str, subscription: str, cursor: events_pb2.Cursor) -> None:
        """Move a subscription's cursor; raises StreamBroken."""
        request = events_pb2.AcknowledgeRequest(subscription=subscription, cursor=cursor)
        try:
            self._stub(source).Acknowledge(request, metadata=self._metadata(source), timeout=UNARY_SECONDS)
        except grpc.RpcError as error:
            raise _broken(error, self._where(source)) from None

    def close(self) -> None:
        """Close the channels."""
        with self._lock:
            for channel in (*self._channels.values(), *self._retired):
                channel.close()
            self._channels.clear()

    def _stub(self, source: str) -> events_pb2_grpc.EventServiceStub:
        with self._lock:
            if self._security.changed():
                # Streams under way keep theirs, which end with them.
                self._retired += self._channels.values()
                self._channels.clear()
            channel = self._channels.get(source)
            if channel is None:
                channel = self._channels[source] = self._connect(source)
        return events_pb2_grpc.EventServiceStub(channel)  # type: ignore[no-untyped-call]

    def _where(self, source: str) -> str:
        return f"the event stream of {source} at {self._settings.service_events_address(source)}"

    def _connect(self, source: str) -> grpc.Channel:
        size = self._settings.max_message_bytes
        options = [
            ("grpc.max_receive_message_length", max(size, 16 << 20)),
            ("grpc.initial_reconnect_backoff_ms", 100),
            ("grpc.min_reconnect_backoff_ms", 100),
            ("grpc.max_reconnect_backoff_ms", 2_000),
            # A machine that vanished sends no end of the stream.
            ("grpc.keepalive_time_ms", 30_000),
            ("grpc.keepalive_timeout_ms", 10_000),
            ("grpc.http2.max_pings_without_data", 0),
            # Where there are several processes, each gets its share of the streams.
            ("grpc.lb_policy_name", "round_robin"),
        ]
        address = self._settings.service_events_address(source)
        credentials = self._security.credentials()
        if credentials is None:
            return grpc.insecure_channel(address, options=options)
        return grpc.secure_channel(address, credentials, options=options)

    def _metadata(self, source: str) -> list[tuple[str, str]]:
        token = self._token(source)
        return [("authorization", f"Bearer {token}")] if token else []


class _LaptopStream:
    def __init__(
        self,
        stub: events_pb2_grpc.EventServiceStub,
        request: events_pb2.SubscribeRequest,
        metadata: Callable[[], list[tuple[str, str]]],
        where: str,
    ) -> None:
        self._stub = stub
        self._request = request
        self._metadata = metadata
        self._where = where
        # An iterator and a grpc.Call at once, for which the type stubs have no name.
        self._call: Any = None
        self._closed = False
        self._lock = threading.Lock()

    def next(self) -> Delivery | None:
        with self._lock:
            if self._closed:
                return None
            if self._call is None:
                self._call = self._stub.Subscribe(self._request, metadata=self._metadata())
        try:
            response = next(self._call)
        except StopIteration:
            raise StreamBroken(f"{self._where} ended") from None
        except grpc.RpcError as error:
            if self._closed:
                return None
            raise _broken(error, self._where) from None
        return Delivery(list(response.events), response.cursor)

    def acknowledge(self, delivery: Delivery) -> None:
        cursor = cast(events_pb2.Cursor, delivery.receipt)
        request = events_pb2.AcknowledgeRequest(subscription=self._request.subscription, cursor=cursor)
        try:
            self._stub.Acknowledge(request, metadata=self._metadata(), timeout=ACKNOWLEDGE_SECONDS)
        except grpc.RpcError as error:
            raise _broken(error, self._where) from None

    def close(self) -> None:
        with self._lock:
            self._closed = True
            if self._call is not None:
                self._call.cancel()


def _broken(error: grpc.RpcError, where: str) -> StreamBroken:
    code = error.code()
    return StreamBroken(f"{where}: {code.name}: {error.details()}", needs_help=code in _HELP)
