"""The API process of a service: gRPC, event streams and metrics, from start to an orderly end."""

from __future__ import annotations

import argparse
import importlib
import sys
from collections.abc import Callable
from dataclasses import dataclass
from types import ModuleType
from typing import Protocol, cast

import grpc
from rapport.events.v1 import dead_letters_pb2_grpc, events_pb2_grpc
from rapport.operations.v1 import operations_pb2_grpc
from sqlalchemy.exc import OperationalError

from services.kit import log, revisions
from services.kit.access.audit import Audit
from services.kit.access.authenticator import make_authenticator
from services.kit.access.limits import Limits
from services.kit.access.tls import server_tls
from services.kit.config import SERVICES, Settings, load_settings
from services.kit.dead_letters.service import DeadLetterService
from services.kit.errors import InvalidArgument, RapportError
from services.kit.events.stream import EventStream
from services.kit.grpc.server import ApiServer
from services.kit.metrics import MetricsServer
from services.kit.operations.service import OperationService
from services.kit.parent import watch_parent
from services.kit.runtime import Runtime, make_runtime
from services.kit.setting_names import warn_of_stray_settings
from services.kit.stop import StopSignal
from services.kit.tables import KitTables
from services.kit.telemetry.export import recording
from services.kit.telemetry.figures import Figures, event_figures

_log = log.get_logger("process")

# Acknowledge and GetStream need threads of their own beside the streams, which may take all they are allowed.
_EVENT_UNARY_THREADS = 8


class Startable(Protocol):
    """Be started and stopped with the API process, such as a listener for another protocol."""

    def start(self) -> None:
        """Begin; raises RapportError when that is not possible."""
        ...

    def stop(self) -> None:
        """End and release everything."""
        ...


@dataclass(frozen=True, slots=True)
class Ports:
    """Hold the ports of one API process; 0 picks a free one."""

    api: int
    events: int
    metrics: int

    @classmethod
    def of(cls, settings: Settings, service: str) -> Ports:
        """Return the ports that the settings give to a service."""
        return cls(
            settings.port(service), settings.events_port(service), settings.metrics_port(service, "api")
        )


class ApiProcess:
    """Serve one service: its RPCs, its long-running operations, its event stream, and metrics.

    package: holds `api` with register(server, runtime), and perhaps background(runtime) that returns
    Startables, and `own_figures`, functions that read figures of its own; and `models` with the kit's tables as `kit`.
    After start, `ports` tells the ports in use.
    """

    def __init__(self, package: str, runtime: Runtime, ports: Ports | None = None) -> None:
        """Load the service; raises RapportError when its code, tokens or contract are not fit to run."""
        settings = runtime.settings
        self._runtime = runtime
        self.ports = ports or Ports.of(settings, runtime.service)
        api, models = _module(package, "api"), _module(package, "models")
        kit = cast(KitTables, models.kit)
        tokens = make_authenticator(settings, runtime.service)
        tls = server_tls(settings)
        self._audit = Audit()
        self._ready = False
        self._operations = OperationService(
            runtime.db, kit, runtime.signer, waiters=max(1, settings.grpc_threads // 4)
        )
        self._stream = EventStream(
            runtime.service,
            runtime.db,
            kit,
            runtime.clock,
            streams_per_caller=settings.event_streams_per_caller,
        )
        self._dead_letters = DeadLetterService(runtime.db, kit, runtime.clock, runtime.signer)
        self._server = ApiServer(
            f"{settings.host}:{self.ports.api}",
            tokens,
            threads=settings.grpc_threads,
            max_message_bytes=settings.max_message_bytes,
            name=f"{runtime.service} API",
            tls=tls,
            limits=_limits(settings, streams=settings.streams_per_caller),
            audit=self._audit,
        )
        self._server.add(lambda server: api.register(server, runtime))
        self._server.add(self._add_operations)
        self._events = ApiServer(
            f"{settings.host}:{self.ports.events}",
            tokens,
            threads=settings.event_streams + _EVENT_UNARY_THREADS,
            max_streams=settings.event_streams,
            max_message_bytes=settings.max_message_bytes,
            name=f"{runtime.service} event stream",
            tls=tls,
            # The event stream counts its own streams.
            limits=_limits(settings, streams=0),
            audit=self._audit,
        )
        self._events.add(self._add_events)
        self._background: list[Startable] = (
            list(api.background(runtime)) if hasattr(api, "background") else []
        )
        self._figures = Figures(
            settings.service_database_url(runtime.service),
            runtime.clock,
            [event_figures(kit), *getattr(api, "own_figures", ())],
            name=revisions.session_name(runtime.service, "figures"),
        )
        self._undo: list[Startable] = []

    def _add_operations(self, server: grpc.Server) -> None:
        operations_pb2_grpc.add_OperationServiceServicer_to_server(self._operations, server)  # type: ignore[no-untyped-call]

    def _add_events(self, server: grpc.Server) -> None:
        events_pb2_grpc.add_EventServiceServicer_to_server(self._stream, server)  # type: ignore[no-untyped-call]
        dead_letters_pb2_grpc.add_DeadLetterServiceServicer_to_server(self._dead_letters, server)  # type: ignore[no-untyped-call]

    def start(self) -> Ports:
        """Bind all ports and serve.

        Raises RapportError, with nothing left running, when one cannot be bound.
        """
        settings = self._runtime.settings
        metrics = MetricsServer(settings.host, self.ports.metrics, lambda: self._ready)
        grace = settings.shutdown_grace_seconds
        # What stops first stands last: calls end before what they use.
        parts: list[Startable] = [
            metrics,
            self._figures,
            _Part(self._stream.start, self._stream.stop),
            *self._background,
            _Part(self._server.start, lambda: self._stop_server(grace)),
            _Part(self._events.start, lambda: self._stop_events(grace)),
        ]
        self._undo = [metrics]
        try:
            for part in parts:
                part.start()
                if part is not metrics:
                    self._undo.append(part)
        except BaseException:
            self.stop()
            raise
        self.ports = Ports(self._server.port, self._events.port, metrics.port)
        self._ready = True
        return self.ports

    def stop(self) -> None:
        """Report NOT_SERVING, let calls under way finish within the grace, stop all parts.

        May be called twice.
        """
        self._ready = False
        self._server.drain()
        self._events.drain()
        while self._undo:
            self._undo.pop().stop()
        self._audit.close()

    def _stop_events(self, grace: float) -> None:
        # Streams have no end of their own: they are told to end, or the server would sit out the whole grace.
        self._stream.stop()
        self._events.stop(grace)

    def _stop_server(self, grace: float) -> None:
        self._operations.stop()
        self._server.stop(grace)


def _limits(settings: Settings, *, streams: int) -> Limits:
    return Limits(
        calls_per_second=settings.calls_per_second,
        burst_calls=settings.burst_calls,
        bytes_per_second=settings.bytes_per_second,
        burst_bytes=4 * max(int(settings.bytes_per_second), settings.max_message_bytes),
        streams=streams,
        refused_per_second=settings.refused_calls_per_second,
    )


class _Part:
    def __init__(self, start: Callable[[], object], stop: Callable[[], object]) -> None:
        self._start = start
        self._stop = stop

    def start(self) -> None:
        self._start()

    def stop(self) -> None:
        self._stop()


def run_api(service: str, *, package: str | None = None) -> int:
    """Run the API process of a service until SIGTERM or SIGINT; return 0, or 1 when it cannot run.

    package: where the service's modules are, by default `services.<service>`.
    """
    # Before anything slow, so that a signal during the start is not lost.
    stop = StopSignal()
    try:
        settings = load_settings()
        log.configure(settings.log_level, settings.log_format, service=service, role="api")
        warn_of_stray_settings()
        watch_parent(settings.shutdown_grace_seconds + 5)
        runtime = make_runtime(service, "api", settings)
        try:
            with recording(settings, service, "api"):
                _serve(package or f"services.{service}", runtime, stop)
        finally:
            runtime.close()
    except OperationalError as error:
        sys.stderr.write(f"{service} api: cannot reach the database: {log.safe_summary(error)}\n")
        return 1
    except RapportError as error:
        sys.stderr.write(f"{service} api: {error.message}\n")
        return 1
    return 0


def _serve(package: str, runtime: Runtime, stop: StopSignal) -> None:
    process = ApiProcess(package, runtime)
    revisions.require_current(package, runtime.db.engine)
    ports = process.start()
    _log.info("serving", port=ports.api, events_port=ports.events, metrics_port=ports.metrics)
    stop.wait()
    _log.info("stopping", grace_seconds=runtime.settings.shutdown_grace_seconds)
    process.stop()
    _log.info("stopped")


def _module(package: str, name: str) -> ModuleType:
    full = f"{package}.{name}"
    try:
        return importlib.import_module(full)
    except ModuleNotFoundError as error:
        # Only the absence of the service itself is the caller's mistake; a missing library is a fault to be
        # seen.
        if error.name is not None and f"{full}.".startswith(f"{error.name}."):
            raise InvalidArgument(
                f"no module {full}: is the service's name right?", reason="NO_SERVICE"
            ) from error
        raise


def main(arguments: list[str] | None = None) -> int:
    """Run the API of the service named on the command line: `python -m services.kit.process contacts`."""
    parser = argparse.ArgumentParser(prog="services.kit.process", description=main.__doc__)
    parser.add_argument("service", choices=SERVICES)
    parser.add_argument("--package", help="where the service's modules are, by default services.<service>")
    options = parser.parse_args(arguments)
    return run_api(options.service, package=options.package)


if __name__ == "__main__":
    sys.exit(main())
