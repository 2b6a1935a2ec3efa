"""A gRPC server with the kit's guard, health and reflection."""

from __future__ import annotations

import errno
import socket
from collections.abc import Callable, Iterable, Mapping
from concurrent import futures
from typing import Any

import grpc
from grpc_health.v1 import health_pb2

from services.kit.access.audit import Audit
from services.kit.access.limits import Limits
from services.kit.access.tls import ServerTls, server_credentials
from services.kit.errors import FailedPrecondition, InvalidArgument
from services.kit.grpc.arrivals import Arrivals
from services.kit.grpc.guard import Guard, Tokens
from services.kit.grpc.open_services import OpenServices

_KEEPALIVE_SECONDS = 60
_MIN_PING_SECONDS = 10
# Clients look a name up again when a connection ends, and only then find processes that were added.
_CONNECTION_SECONDS = 600.0
# Calls that may wait for a thread, as a multiple of the threads; beyond it the server refuses at once.
_QUEUE_FACTOR = 16


class ServiceRegistry(grpc.Server):
    """Stand in for the server in the generated `add_…Servicer_to_server` functions, and guard them."""

    def __init__(self, server: grpc.Server, guard: Guard) -> None:
        self._server = server
        self._guard = guard
        self._announced: set[str] = set()
        self.names: list[str] = []

    def add_generic_rpc_handlers(self, generic_rpc_handlers: Iterable[grpc.GenericRpcHandler]) -> None:
        """Note which services are announced.

        The generated code registers their methods by name right after.
        """
        for handler in generic_rpc_handlers:
            name = handler.service_name() if isinstance(handler, grpc.ServiceRpcHandler) else None
            if not name:
                raise InvalidArgument(
                    "only services from generated stubs can be served, as others declare no permissions",
                    reason="UNGUARDED_HANDLER",
                )
            self._announced.add(name)

    def add_registered_method_handlers(
        self, service_name: str, method_handlers: Mapping[str, grpc.RpcMethodHandler[Any, Any]]
    ) -> None:
        """Add a service behind the guard; raises InvalidArgument when a method declares no permission."""
        guarded = self._guard.wrap_service(service_name, method_handlers)
        self._server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(service_name, guarded),))
        registered: Any = self._server
        registered.add_registered_method_handlers(service_name, guarded)
        self.names.append(service_name)

    def check(self) -> None:
        """Raise InvalidArgument when a service was announced but its methods were not registered."""
        unguarded = sorted(self._announced.difference(self.names))
        if unguarded:
            raise InvalidArgument(
                f"{', '.join(unguarded)}: generate the stubs with a current grpcio-tools",
                reason="UNGUARDED_HANDLER",
            )

    def add_insecure_port(self, address: str) -> int:
        """Refuse: the port belongs to ApiServer."""
        raise NotImplementedError("ApiServer binds the port")

    def add_secure_port(self, address: str, server_credentials: grpc.ServerCredentials) -> int:
        """Refuse: the port belongs to ApiServer."""
        raise NotImplementedError("ApiServer binds the port")

    def start(self) -> None:
        """Refuse: ApiServer starts."""
        raise NotImplementedError("ApiServer starts the server")

    def stop(self, grace: float | None) -> Any:
        """Refuse: ApiServer stops."""
        raise NotImplementedError("ApiServer stops the server")

    def wait_for_termination(self, timeout: float | None = None) -> bool:
        """Refuse: ApiServer waits."""
        raise NotImplementedError("ApiServer waits")


class ApiServer:
    """Serve guarded services on one port."""

    def __init__(
        self,
        address: str,
        tokens: Tokens,
        *,
        threads: int = 16,
        max_streams: int | None = None,
        max_message_bytes: int = 8 << 20,
        connection_seconds: float = _CONNECTION_SECONDS,
        name: str = "API",
        tls: ServerTls | None = None,
        limits: Limits | None = None,
        audit: Audit | None = None,
    ) -> None:
        """Prepare a server.

        address: `host:port`, port 0 for a free one; threads: calls worked on at once; max_streams: how many
        of them may be streams, by default half; max_message_bytes: largest request and answer;
        connection_seconds: age at which a connection takes no new calls, those on it go on; name: used in messages;
        tls: encrypts, by default nothing does; limits: of one caller; audit: records refusals. Raises
        InvalidArgument (TLS_FILES).
        """
        self._address = address
        self._name = name
        self._credentials = None if tls is None else server_credentials(tls)
        self._pool = futures.ThreadPoolExecutor(threads, thread_name_prefix=f"grpc-{name}")
        self._server = grpc.server(
            self._pool,
            options=_options(max_message_bytes, connection_seconds),
            maximum_concurrent_rpcs=threads * _QUEUE_FACTOR,
        )
        self._registry = ServiceRegistry(
            self._server,
            Guard(
                tokens,
                Arrivals(max(1, threads // 4)),
                max_streams=max_streams or max(1, threads // 2),
                limits=limits,
                audit=audit,
            ),
        )
        self._open = OpenServices(threads)
        self._health = self._open.health
        self.port = 0

    def add(self, register: Callable[[grpc.Server], None]) -> None:
        """Let a function add servicers, with the generated `add_…Servicer_to_server`."""
        register(self._registry)

    def start(self) -> int:
        """Bind the port, serve, report SERVING and return the port.

        Raises FailedPrecondition (PORT_IN_USE).
        """
        self._registry.check()
        self._open.add(self._server, self._registry.names)
        try:
            self.port = (
                self._server.add_insecure_port(self._address)
                if self._credentials is None
                else self._server.add_secure_port(self._address, self._credentials)
            )
        except RuntimeError as error:
            raise _bind_error(self._name, self._address) from error
        if self.port == 0:
            raise _bind_error(self._name, self._address)
        self._server.start()
        for name in ("", *self._registry.names):
            self._health.set(name, health_pb2.HealthCheckResponse.SERVING)
        return self.port

    def drain(self) -> None:
        """Report NOT_SERVING, so that balancers send no more calls; calls are still answered."""
        self._health.enter_graceful_shutdown()

    def stop(self, grace: float) -> None:
        """Report NOT_SERVING, refuse new calls, and cancel those that do not end within `grace` seconds."""
        self.drain()
        self._server.stop(grace).wait()
        self._pool.shutdown(wait=False, cancel_futures=True)


def _options(max_message_bytes: int, connection_seconds: float) -> list[tuple[str, int]]:
    return [
        # Two processes on one port would share its calls at random, and a mistake would stay unnoticed.
        ("grpc.so_reuseport", 0),
        ("grpc.max_receive_message_length", max_message_bytes),
        ("grpc.max_send_message_length", max(max_message_bytes, 64 << 20)),
        ("grpc.keepalive_time_ms", _KEEPALIVE_SECONDS * 1000),
        ("grpc.keepalive_timeout_ms", 20_000),
        ("grpc.keepalive_permit_without_calls", 1),
        ("grpc.http2.min_ping_interval_without_data_ms", _MIN_PING_SECONDS * 1000),
        ("grpc.http2.max_ping_strikes", 4),
        ("grpc.max_connection_age_ms", int(connection_seconds * 1000)),
    ]


def _bind_error(name: str, address: str) -> FailedPrecondition:
    """Find out why the port could not be bound, which gRPC does not tell."""
    host, _, port = address.rpartition(":")
    try:
        with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind((host.strip("[]"), int(port)))
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            return FailedPrecondition(
                f"{address} ({name}) is in use: "
                "stop the process that uses the port, or set RAPPORT_BASE_PORT",
                reason="PORT_IN_USE",
                metadata={"address": address},
            )
        cause = error.strerror or str(error)
    else:
        cause = "gRPC refused the address"
    return FailedPrecondition(
        f"cannot listen on {address} ({name}): {cause}; check RAPPORT_HOST and RAPPORT_BASE_PORT",
        reason="CANNOT_LISTEN",
        metadata={"address": address},
    )
