"""Health and reflection, which anybody may call: in bounds, so that nobody stops the other services by them."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import grpc
from grpc_health.v1 import health, health_pb2
from grpc_reflection.v1alpha import reflection, reflection_pb2

from services.kit.errors import InvalidArgument, OverLimit
from services.kit.grpc.arrivals import Arrivals

Requests = Iterator[Any]


class OpenServices:
    """Answer grpc.health.v1 and reflection.

    `health` holds what is told; a watch of it holds no thread. A stream of reflection ends after a few seconds.
    """

    def __init__(self, threads: int) -> None:
        """threads: of the server, of which strangers hold a part at the most."""
        self.health = health.HealthServicer()
        self._checks = Arrivals(max(1, threads // 4))
        self._reflections = Arrivals(max(1, threads // 8))
        self._watches = threading.BoundedSemaphore(threads)

    def add(self, server: grpc.Server, names: Iterable[str]) -> None:
        """Add both to a server; names: the services that reflection tells of."""
        told = (*names, health.SERVICE_NAME, reflection.SERVICE_NAME)
        reflect = reflection.ReflectionServicer(told).ServerReflectionInfo
        asked, answer = (
            health_pb2.HealthCheckRequest.FromString,
            health_pb2.HealthCheckResponse.SerializeToString,
        )

        def watch(
            requests: Requests, context: grpc.ServicerContext, send_response_callback: Callable[[Any], None]
        ) -> None:
            self._watch(requests, context, send_response_callback)

        # gRPC's own way to hold no thread, which it finds on the function.
        watch.experimental_non_blocking = True  # type: ignore[attr-defined]
        handlers = {
            health.SERVICE_NAME: {
                "Check": grpc.stream_unary_rpc_method_handler(self._check, asked, answer),
                "Watch": grpc.stream_stream_rpc_method_handler(watch, asked, answer),
            },
            reflection.SERVICE_NAME: {
                "ServerReflectionInfo": grpc.stream_stream_rpc_method_handler(
                    lambda requests, context: self._reflect(reflect, requests, context),
                    reflection_pb2.ServerReflectionRequest.FromString,
                    reflection_pb2.ServerReflectionResponse.SerializeToString,
                )
            },
        }
        server.add_generic_rpc_handlers(
            [grpc.method_handlers_generic_handler(name, methods) for name, methods in handlers.items()]
        )

    def _check(self, requests: Requests, context: grpc.ServicerContext) -> Any:
        return self.health.Check(self._request(requests, context), context)

    def _watch(self, requests: Requests, context: grpc.ServicerContext, send: Callable[[Any], None]) -> None:
        request = self._request(requests, context)
        if not self._watches.acquire(blocking=False):
            context.abort(grpc.StatusCode.RESOURCE_EXHAUSTED, "too many watch this process; check instead")
        # False when the call has ended already.
        if context.add_callback(self._watches.release):
            self.health.Watch(request, context, send)
        else:
            self._watches.release()

    def _reflect(self, reflect: Any, requests: Requests, context: grpc.ServicerContext) -> Iterator[Any]:
        try:
            with self._reflections.stranger(context):
                yield from reflect(requests, context)
        except OverLimit as error:
            context.abort(grpc.StatusCode.RESOURCE_EXHAUSTED, error.message)

    def _request(self, requests: Requests, context: grpc.ServicerContext) -> Any:
        try:
            return self._checks.one(requests, context, known=False)
        except OverLimit as error:
            context.abort(grpc.StatusCode.RESOURCE_EXHAUSTED, error.message)
        except InvalidArgument as error:
            context.abort(grpc.StatusCode.INVALID_ARGUMENT, error.message)
