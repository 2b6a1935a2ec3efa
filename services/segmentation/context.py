"""What the use cases work with in one process."""

from __future__ import annotations

import os
import threading
from dataclasses import dataclass, field
from datetime import timedelta

from sqlalchemy import Connection

from services.kit.clock import Clock
from services.kit.config import Settings
from services.kit.db import Database
from services.kit.errors import Unavailable
from services.kit.plugins import Catalog, PluginError, PluginHost, RequiredPluginError
from services.kit.runtime import Runtime
from services.kit.signing import Signer
from services.segmentation.domain import Limits, Retention
from services.segmentation.rulebook import Plan, Rulebook

_services: dict[int, tuple[Runtime, Service]] = {}
_lock = threading.Lock()


@dataclass(frozen=True)
class Service:
    """Hold the database, the clock, the plugins, and the rules in force."""

    db: Database
    clock: Clock
    signer: Signer
    plugins: PluginHost
    book: Rulebook
    time_zone: str
    retention: Retention = field(default_factory=Retention)
    limits: Limits = field(default_factory=Limits)

    def catalog(self) -> Catalog:
        """Return what plugins offer; raises Unavailable while their host cannot start.

        That is no fault of the work at hand, such as an event, which must wait and not be given up.
        """
        try:
            return self.plugins.catalog()
        except (PluginError, RequiredPluginError) as error:
            raise Unavailable(
                f"plugins are not loaded: {error.message}", reason="PLUGINS_NOT_LOADED"
            ) from error

    def plan(self, connection: Connection) -> Plan:
        """Return the rules in force, compiled."""
        return self.book.plan(connection, self.catalog())


def make_service(runtime: Runtime, plugins: PluginHost | None = None) -> Service:
    """Build the context of a process. plugins: in place of the host that the settings describe."""
    settings = runtime.settings
    host = plugins or plugin_host(settings)
    book = Rulebook(settings.time_zone)
    retention = Retention(
        timedelta(days=settings.profile_history_days), timedelta(days=settings.membership_history_days)
    )
    limits = Limits(settings.rule_batch_seconds, settings.rule_rebuild_seconds)
    return Service(
        runtime.db, runtime.clock, runtime.signer, host, book, settings.time_zone, retention, limits
    )


def plugin_host(settings: Settings) -> PluginHost:
    """Return the host of the plugins that the settings allow; it starts when it is first needed."""
    return PluginHost(
        allowed=settings.plugins_allow, required=settings.plugins_required, environment=os.environ
    )


def provide(runtime: Runtime, service: Service) -> None:
    """Make a context the one that belongs to a runtime."""
    with _lock:
        _services[id(runtime)] = (runtime, service)


def release(runtime: Runtime) -> None:
    """Forget the context of a runtime and end its plugin host."""
    with _lock:
        found = _services.pop(id(runtime), None)
    if found is not None:
        found[1].plugins.close()


def service_of(runtime: Runtime) -> Service:
    """Return the context that belongs to a process's runtime, always the same one."""
    with _lock:
        found = _services.get(id(runtime))
        if found is None or found[0] is not runtime:
            found = _services[id(runtime)] = (runtime, make_service(runtime))
        return found[1]
