"""`@timer`: a method that runs every so many seconds in one process of the service."""

from __future__ import annotations

import functools
import logging
import time
from collections.abc import Callable
from typing import cast

from nameko.extensions import Entrypoint, register_entrypoint

from services.kit import context as call_context
from services.kit.bus import metrics
from services.kit.bus.host import CONFIG_KEY, F, Host, StopSignal, hold_lock, run_worker_method
from services.kit.bus.native import native
from services.kit.context import CallContext
from services.kit.log import safe_summary
from services.kit.telemetry import spans
from services.kit.transient import is_transient

_log = logging.getLogger(__name__)

LONGEST_PAUSE = 30.0


def timer(seconds: float) -> Callable[[F], F]:
    """Mark a method to run every `seconds`, first at once, never twice at a time in all processes.

    The interval is real time, between starts; a run that takes longer is followed by the next without delay.
    The method runs in a native thread. When it raises, the error is logged and the pause grows up to 30 s
    until it works.
    """
    if seconds <= 0:
        raise ValueError(f"a timer needs an interval above zero, got {seconds}")

    def mark(method: F) -> F:
        @functools.wraps(method)
        def run(self: object) -> None:
            native(_in_context, method, self)

        register_entrypoint(run, Timer(seconds))
        return cast(F, run)

    return mark


def _in_context(method: Callable[..., object], worker: object) -> None:
    """Run a timer in a trace of its own, which is recorded only if it did something that others hear of."""
    name = f"{getattr(type(worker), 'name', type(worker).__name__)}.{method.__name__}"
    call = CallContext(
        call_context.new_request_id(), method=name, traceparent=call_context.child_traceparent()
    )
    with metrics.TIMER_SECONDS.labels(name).time(), spans.work(call, only_if_told=True):
        method(worker)


class Timer(Entrypoint):  # type: ignore[misc]
    """Fire one method at its interval, under a lock that the firing process keeps."""

    def __init__(self, seconds: float) -> None:
        super().__init__()
        self.seconds = seconds

    def setup(self) -> None:
        """Take what is shared from the container."""
        self.host: Host = self.container.config[CONFIG_KEY]
        self.name = self.host.name(self.method_name)
        self.host.status[self.name] = "starting"
        self._stop = StopSignal()
        # Shown from the beginning: else nobody could tell a first run that hangs from a timer that is no more.
        for outcome in ("ok", "failed"):
            metrics.TIMER_RUNS.labels(self.name, outcome)

    def start(self) -> None:
        """Start firing."""
        self._greenlet = self.container.spawn_managed_thread(self._run, identifier=self.name)

    def stop(self) -> None:
        """Fire no more; return once a running method has ended."""
        self._stop.set()
        self._greenlet.wait()

    def kill(self) -> None:
        """End at once."""
        self._stop.set()
        self._greenlet.kill()

    def _run(self) -> None:
        due = time.monotonic()
        failures = 0
        while not self._stop.wait(max(due - time.monotonic(), 0)):
            if not hold_lock(self.host, self.name, self._stop):
                break
            started = time.monotonic()
            try:
                run_worker_method(self)
                failures = 0
                metrics.TIMER_RUNS.labels(self.name, "ok").inc()
                self.host.status[self.name] = "ticking"
            except Exception as error:
                failures += 1
                metrics.TIMER_RUNS.labels(self.name, "failed").inc()
                self.host.status[self.name] = f"failing: {safe_summary(error)}"
                trace = None if is_transient(error) else error
                with call_context.of_error(error):
                    _log.warning("%s failed: %s", self.name, safe_summary(error), exc_info=trace)
            pause = (
                min(self.seconds * 2 ** min(failures, 10), max(LONGEST_PAUSE, self.seconds))
                if failures
                else self.seconds
            )
            due = max(started + pause, time.monotonic())
        self.host.status[self.name] = "stopped"
        native(self.host.locks.release, self.name)
