"""`@operation`: a method that does the long-running operations of one kind."""

from __future__ import annotations

import functools
import logging
import time
from collections.abc import Callable
from typing import Any, cast
from uuid import UUID

import grpc
from google.protobuf.message import Message
from google.rpc.status_pb2 import Status
from nameko.extensions import Entrypoint, register_entrypoint

from services.kit import context as call_context
from services.kit.bus import metrics
from services.kit.bus.host import CONFIG_KEY, F, Host, StopSignal, run_worker_method
from services.kit.bus.native import native
from services.kit.bus.pending import POLL_SECONDS
from services.kit.context import CallContext
from services.kit.errors import RapportError
from services.kit.grpc.status import Failure, classify, status_message
from services.kit.log import safe_summary
from services.kit.operations import store
from services.kit.operations.context import (
    OperationContext,
    OperationLost,
    OperationPaused,
    OperationWaits,
)
from services.kit.telemetry import spans
from services.kit.transient import is_transient

_log = logging.getLogger(__name__)

FRUITLESS_ATTEMPTS = 5
"""Attempts without a checkpoint, each ended by an unexpected error or a death, before the operation fails."""

FIRST_PAUSE, LONGEST_PAUSE = 0.5, 30.0


def operation(kind: str, *, concurrency: int = 2) -> Callable[[F], F]:
    """Mark a method to do the operations of a kind, at most `concurrency` at a time in this process.

    The method takes an OperationContext, runs in a native thread, and returns the typed result message. It
    calls `checkpoint` in the transactions of its work and `raise_if_cancelled` between them, and begins where
    `state` says. A RapportError that it raises is the operation's error; transient errors are retried for
    ever, unexpected ones and deaths of the process a few times. One that waits for long raises OperationWaits,
    so that it takes no place of others meanwhile.
    """

    def mark(method: F) -> F:
        @functools.wraps(method)
        def run(self: object, context: OperationContext) -> Message:
            return native(_in_context, method, self, context)

        register_entrypoint(run, OperationRunner(kind, concurrency))
        return cast(F, run)

    return mark


def _in_context(method: Callable[..., Message], worker: object, context: OperationContext) -> Message:
    call = CallContext(call_context.new_request_id(), method=context.name, principal=context.principal)
    call.traceparent = call_context.child_traceparent()
    attributes = {"rapport.operation": context.name}
    with spans.work(call, name=f"operation {context.kind}", attributes=attributes):
        return method(worker, context)


class OperationRunner(Entrypoint):  # type: ignore[misc]
    """Find operations that nobody does, and do them."""

    def __init__(self, kind: str, concurrency: int) -> None:
        super().__init__()
        self.kind = kind
        self.concurrency = concurrency

    def setup(self) -> None:
        """Take what is shared from the container."""
        self.host: Host = self.container.config[CONFIG_KEY]
        self.name = self.host.name(self.method_name)
        self.host.status[self.name] = "starting"
        self._stop = StopSignal()
        self._running: dict[UUID, Any] = {}
        # Those that wait for a time, whose locks are kept, and until when.
        self._waiting: dict[UUID, float] = {}
        self._failures: dict[UUID, int] = {}
        self._not_before: dict[UUID, float] = {}

    def start(self) -> None:
        """Start looking for work."""
        self._greenlet = self.container.spawn_managed_thread(self._run, identifier=self.name)

    def stop(self) -> None:
        """Take no more; return once running operations have paused at their next checkpoint."""
        self._stop.set()
        self._greenlet.wait()
        for greenlet in list(self._running.values()):
            greenlet.wait()

    def kill(self) -> None:
        """End at once."""
        self._stop.set()
        self._greenlet.kill()

    def _run(self) -> None:
        while not self._stop.wait(POLL_SECONDS):
            try:
                self._look()
                self.host.status[self.name] = f"running {len(self._running)}" if self._running else "waiting"
            except Exception as error:
                self.host.status[self.name] = f"failing: {safe_summary(error)}"
                _log.warning("%s cannot look for operations: %s", self.name, safe_summary(error))
                self._stop.wait(FIRST_PAUSE)

    def _look(self) -> None:
        if len(self._running) >= self.concurrency:
            return
        for key in self.host.pending.of(self.kind):
            if self._stop.is_set or len(self._running) >= self.concurrency:
                return
            if key in self._running or key in self._waiting:
                continue
            if self._not_before.get(key, 0.0) <= time.monotonic():
                self._begin(key)
        # After those that were not begun: these only look again.
        for key, until in sorted(self._waiting.items(), key=lambda item: item[1]):
            if self._stop.is_set or len(self._running) >= self.concurrency or until > time.monotonic():
                return
            del self._waiting[key]
            self._begin(key)

    def _begin(self, key: UUID) -> None:
        # A lock that was kept, and is lost with its connection, may be another process's by now.
        if native(self.host.locks.acquire, f"operation:{key}"):
            self._running[key] = self.container.spawn_managed_thread(
                functools.partial(self._do, key), identifier=f"{self.name} {key}"
            )

    def _do(self, key: UUID) -> None:
        try:
            claimed = native(self._claim, key)
            if claimed is None:
                return
            self._work(claimed)
            self._failures.pop(key, None)
            self._not_before.pop(key, None)
        except OperationWaits as error:
            self._waiting[key] = time.monotonic() + error.seconds
        except Exception as error:
            metrics.OPERATIONS.labels(self.kind, "retried").inc()
            failures = self._failures[key] = self._failures.get(key, 0) + 1
            pause = min(FIRST_PAUSE * 2 ** min(failures - 1, 10), LONGEST_PAUSE)
            self._not_before[key] = time.monotonic() + pause
            with call_context.of_error(error):
                _log.warning("operations/%s stopped, going on in %.1f s: %s", key, pause, safe_summary(error))
        finally:
            self._running.pop(key, None)
            if key not in self._waiting:
                native(self.host.locks.release, f"operation:{key}")

    def _claim(self, key: UUID) -> store.Claimed | None:
        with self.host.runtime.db.transaction() as connection:
            return store.claim(connection, self.host.kit, key)

    def _work(self, claimed: store.Claimed) -> None:
        """Run one attempt; raises what makes another one worth while."""
        if claimed.fruitless > FRUITLESS_ATTEMPTS:
            message = (
                f"{claimed.fruitless - 1} attempts ended without a checkpoint, each by the death of its "
                "process or an unexpected error that the worker's log has"
            )
            native(
                self._finish,
                claimed,
                status_message(Failure(grpc.StatusCode.INTERNAL, message, "OPERATION_FRUITLESS", {})),
            )
            return
        outcome: Message | Status
        try:
            context = OperationContext(
                self.host.runtime.db, self.host.kit, claimed, lambda: self._stop.is_set
            )
            # Also one that was cancelled while nobody did it: what that means beside its end is the method's to say.
            result = run_worker_method(self, context)
            if not isinstance(result, Message):
                raise TypeError(f"{self.name} must return a message, not {type(result).__name__}")
            outcome = result
        except OperationLost as error:
            _log.warning("%s", error)
            return
        except OperationPaused as error:
            _log.info("%s pauses, as this process stops", error)
            metrics.OPERATIONS.labels(self.kind, "paused").inc()
            native(self._forgive, claimed)
            return
        except OperationWaits:
            native(self._forgive, claimed)
            raise
        except Exception as error:
            if is_transient(error):
                native(self._forgive, claimed)
                raise
            if not isinstance(error, RapportError):
                with call_context.of_error(error):
                    _log.error("operations/%s failed", claimed.id, exc_info=error)
                # What it had done since its last checkpoint is rolled back; perhaps it was a bad moment.
                if claimed.fruitless < FRUITLESS_ATTEMPTS:
                    raise
            outcome = status_message(classify(error, f"operations/{claimed.id}"))
        metrics.OPERATIONS.labels(self.kind, "failed" if isinstance(outcome, Status) else "done").inc()
        native(self._finish, claimed, outcome)

    def _finish(self, claimed: store.Claimed, outcome: Message | Status) -> None:
        runtime = self.host.runtime
        with runtime.db.transaction() as connection:
            ours = store.finish(
                connection, self.host.kit, claimed.id, claimed.attempt, outcome, runtime.clock.now()
            )
        if not ours:
            _log.warning("operations/%s was ended by another process", claimed.id)

    def _forgive(self, claimed: store.Claimed) -> None:
        with self.host.runtime.db.transaction() as connection:
            store.forgive(connection, self.host.kit, claimed.id, claimed.attempt)
