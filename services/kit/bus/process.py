"""The worker process: one nameko container, the relay, and their orderly end.

Loaded after the process is patched.
"""

from __future__ import annotations

import fcntl
import importlib
import logging
import os
import signal
import sys
from types import ModuleType

import eventlet
from eventlet.hubs import trampoline
from nameko.containers import ServiceContainer
from nameko.extensions import ENTRYPOINT_EXTENSIONS_ATTR
from sqlalchemy.exc import OperationalError

from services.kit import log, revisions
from services.kit.bus.host import CONFIG_KEY, Host
from services.kit.bus.http import StatusPage
from services.kit.bus.native import enable, native
from services.kit.bus.operations import OperationRunner
from services.kit.bus.pending import Pending
from services.kit.bus.replays import Replays
from services.kit.bus.subscriptions import Subscription
from services.kit.bus.transport import make_publisher, make_transport
from services.kit.config import load_settings
from services.kit.errors import InvalidArgument, RapportError
from services.kit.events.relay import Relay
from services.kit.locks import Locks
from services.kit.parent import watch_parent
from services.kit.runtime import Runtime, make_runtime
from services.kit.setting_names import warn_of_stray_settings
from services.kit.telemetry.export import recording
from services.kit.upkeep import Upkeep

_log = logging.getLogger(__name__)

SPARE_THREADS = 20
"""Native threads beyond the one or more that each entrypoint may occupy."""


def run(service: str, package: str) -> int:
    """Run the worker of a service and return the exit status: 0 after a signal, 1 when it cannot run.

    A `Worker` may have a static method `prepare(runtime)`, called before its first entrypoint; a RapportError
    from it ends the process.
    """
    try:
        settings = load_settings()
        log.configure(settings.log_level, settings.log_format, service=service, role="worker")
        warn_of_stray_settings()
        # nameko logs each failing handler with its traceback; the entrypoints tell what comes of it.
        logging.getLogger("nameko").setLevel(logging.CRITICAL)
        signals = _Signals()
        watch_parent()
        worker, models = _load(package)
        runtime = make_runtime(service, "worker", settings)
        try:
            revisions.require_current(package, runtime.db.engine)
            with recording(settings, service, "worker"):
                return _serve(runtime, worker, models, signals)
        finally:
            runtime.close()
    except RapportError as error:
        sys.stderr.write(f"{service} worker: {error.message}\n")
        return 1
    except OperationalError as error:
        sys.stderr.write(f"{service} worker: the database cannot be reached: {log.safe_summary(error)}\n")
        return 1


def _load(package: str) -> tuple[type, ModuleType]:
    try:
        models = importlib.import_module(f"{package}.models")
        worker: type = importlib.import_module(f"{package}.worker").Worker
    except ModuleNotFoundError as error:
        # A library that is missing is another matter, and its traceback tells where.
        if error.name != f"{package}.models" and not f"{package}.worker.".startswith(f"{error.name}."):
            raise
        raise InvalidArgument(f"{package} has no worker to run: {error}", reason="NO_WORKER") from error
    return worker, models


def _serve(runtime: Runtime, worker: type, models: ModuleType, signals: _Signals) -> int:
    settings = runtime.settings
    entrypoints = [
        entrypoint
        for name in dir(worker)
        for entrypoint in getattr(getattr(worker, name), ENTRYPOINT_EXTENSIONS_ATTR, ())
    ]
    slots = sum(entry.concurrency if isinstance(entry, OperationRunner) else 1 for entry in entrypoints)
    # A subscription waits for events in one thread; each running operation takes one; plus whatever is short.
    enable(len(entrypoints) + slots + SPARE_THREADS)
    if prepare := getattr(worker, "prepare", None):
        # Before anything runs: a worker that is not fit must not be seen ready, nor take events.
        native(prepare, runtime)
    locks = Locks(runtime.db.engine)
    publisher = make_publisher(runtime.service, runtime.db.engine, models.kit, runtime.clock, settings)
    relay = Relay(
        runtime.db.engine,
        models.kit,
        runtime.clock,
        retention_days=settings.event_retention_days,
        on_positions=publisher.wake if publisher else lambda: None,
    )
    upkeep = Upkeep(
        runtime.db, models.kit, runtime.clock, locks, retention_days=settings.event_retention_days
    )
    transport = make_transport(settings, runtime.service)
    kinds = [entry.kind for entry in entrypoints if isinstance(entry, OperationRunner)]
    host = Host(runtime, models.kit, locks, transport, Pending(runtime.db, models.kit, kinds))
    # Every entrypoint must find a free worker at once, or one that waits would hold up the others.
    container = ServiceContainer(worker, config={CONFIG_KEY: host, "max_workers": max(slots, 1)})
    replays = Replays(
        host,
        lambda: {entry.name: entry for entry in container.entrypoints if isinstance(entry, Subscription)},
    )
    ready = False

    def status() -> dict[str, str]:
        return host.status | ({"publisher": publisher.status} if publisher else {})

    page = StatusPage(settings.host, settings.metrics_port(runtime.service, "worker"), lambda: ready, status)
    try:
        relay.start()
        if publisher:
            publisher.start()
        upkeep.start()
        container.start()
        eventlet.spawn_n(replays.run)
        ready = True
        _log.info("worker of %s runs, %d entrypoints", runtime.service, len(entrypoints))
        eventlet.spawn_n(_stop_on_signal, signals, container, replays)
        # Returns after a stop; raises what killed the container.
        container.wait()
    except Exception:
        _log.critical("worker of %s failed", runtime.service, exc_info=True)
        return 1
    finally:
        ready = False
        native(relay.stop)
        if publisher:
            native(publisher.stop)
        native(upkeep.stop)
        native(transport.close)
        native(locks.close)
        page.close()
    _log.info("worker of %s stopped", runtime.service)
    return 0


def _stop_on_signal(signals: _Signals, container: ServiceContainer, replays: Replays) -> None:
    name = signals.wait()
    _log.info("%s: finishing the work in hand", name)
    replays.stop()
    container.stop()


class _Signals:
    """Bring SIGTERM and SIGINT to a greenlet; any number of them is one request to stop."""

    def __init__(self) -> None:
        self._read, write = os.pipe()
        for end in (self._read, write):
            fcntl.fcntl(end, fcntl.F_SETFL, fcntl.fcntl(end, fcntl.F_GETFL) | os.O_NONBLOCK)
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: None)
        # The hub sleeps in epoll, which a Python handler alone would not wake.
        signal.set_wakeup_fd(write, warn_on_full_buffer=False)

    def wait(self) -> str:
        """Wait in this greenlet for the first signal and return its name."""
        while True:
            trampoline(self._read, read=True)
            for number in os.read(self._read, 64):
                if number in (signal.SIGTERM, signal.SIGINT):
                    return signal.Signals(number).name
