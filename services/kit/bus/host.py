"""What the entrypoints of a worker process share."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeVar, cast

import eventlet
from eventlet.event import Event

from services.kit.bus.native import native
from services.kit.bus.transport import Transport
from services.kit.locks import Locks
from services.kit.log import safe_summary
from services.kit.tables import KitTables

if TYPE_CHECKING:
    from services.kit.bus.pending import Pending
    from services.kit.runtime import Runtime

CONFIG_KEY = "RAPPORT_HOST"
F = TypeVar("F", bound=Callable[..., Any])


@dataclass(frozen=True)
class Host:
    """Hold the parts that every entrypoint of a worker process uses."""

    runtime: Runtime
    kit: KitTables
    locks: Locks
    transport: Transport
    pending: Pending
    status: dict[str, str] = field(default_factory=dict)
    """What each entrypoint is doing now, by its name; shown by /healthz."""

    def name(self, method: str) -> str:
        """Return the name of a method's subscription, lock and dead letters."""
        return f"{self.runtime.service}.{method}"


class StopSignal:
    """Let greenlets of the hub sleep until a time or until they are asked to stop."""

    def __init__(self) -> None:
        self._event = Event()

    @property
    def is_set(self) -> bool:
        """Tell whether a stop was asked for."""
        return bool(self._event.ready())

    def set(self) -> None:
        """Ask for a stop; a second time changes nothing."""
        if not self._event.ready():
            self._event.send(None)

    def wait(self, seconds: float) -> bool:
        """Sleep so long; returns True, at once, when a stop was asked for."""
        if not self.is_set:
            with eventlet.Timeout(max(seconds, 0), False):
                self._event.wait()
        return self.is_set


def run_worker_method(entrypoint: Any, argument: object | None = None) -> object:
    """Run the entrypoint's method in a nameko worker, wait for it, and raise what it raised.

    The worker counts as running until the result was handled, so that stopping the container waits for it.
    """
    done = Event()

    def handle_result(context: object, result: object, exc_info: Any) -> tuple[object, Any]:
        done.send((result, exc_info))
        return result, exc_info

    arguments = () if argument is None else (argument,)
    entrypoint.container.spawn_worker(entrypoint, arguments, {}, handle_result=handle_result)
    result, exc_info = done.wait()
    if exc_info is not None:
        raise exc_info[1]
    return cast(object, result)


def hold_lock(host: Host, name: str, stop: StopSignal, *, retry_seconds: float = 1.0) -> bool:
    """Wait until this process has a lock; returns False when asked to stop first."""
    while not stop.is_set:
        try:
            if native(host.locks.acquire, name):
                return True
            host.status[name] = "standby: another process does this"
        except Exception as error:
            host.status[name] = f"waiting for the database: {safe_summary(error)}"
        stop.wait(retry_seconds)
    return False
