"""The record of refusals: who was refused what and why, in the log under `audit`.

Equal refusals are one line: the first is written at once, and how many more there were follows when its minute is over.
A minute holds at most so many different ones; the rest are counted together. So a process writes a bounded number of
lines whatever it is asked. No line holds anything of a request.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

from services.kit import context, metrics
from services.kit.log import get_logger

WINDOW_SECONDS = 60.0
MOST_LINES = 200
_OTHERS = "(others)"
_log = get_logger("audit")


@dataclass(frozen=True, slots=True)
class Refusal:
    """Say who was refused which method and why; who: a principal, or `address:<host>` of a caller without one."""

    who: str
    method: str
    reason: str
    permission: str = ""


class Audit:
    """Write refusals, equal ones together."""

    def __init__(
        self,
        *,
        window_seconds: float = WINDOW_SECONDS,
        most_lines: int = MOST_LINES,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._window = window_seconds
        self._most = most_lines
        self._clock = clock
        self._lock = threading.Lock()
        self._began = clock()
        # The number of further refusals, with the id of the last request among them.
        self._repeated: dict[Refusal, tuple[int, str]] = {}
        self._timer: threading.Timer | None = None

    def refused(self, refusal: Refusal, request_id: str) -> None:
        """Record a refusal."""
        metrics.ACCESS_DENIED.labels(refusal.reason).inc()
        with self._lock:
            if self._clock() - self._began >= self._window:
                self._flush()
            if refusal not in self._repeated and len(self._repeated) >= self._most:
                refusal = Refusal(_OTHERS, _OTHERS, refusal.reason)
            count, _ = self._repeated.get(refusal, (-1, ""))
            self._repeated[refusal] = (count + 1, request_id)
            if count < 0:
                _write(refusal, 1, request_id)
            if self._timer is None:
                # The count must be told also when nobody is refused anything after it.
                self._timer = threading.Timer(self._window, self.flush)
                self._timer.daemon = True
                self._timer.start()

    def flush(self) -> None:
        """Write how many more refusals there were, and begin anew."""
        with self._lock:
            self._flush()

    def close(self) -> None:
        """Write what is still to be written, at the end of the process."""
        self.flush()

    def _flush(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        for refusal, (count, request_id) in self._repeated.items():
            if count:
                _write(refusal, count, request_id)
        self._repeated = {}
        self._began = self._clock()


def _write(refusal: Refusal, count: int, request_id: str) -> None:
    _log.warning(
        "access denied",
        audit="access.denied",
        who=refusal.who,
        method=refusal.method,
        reason=refusal.reason,
        permission=refusal.permission,
        count=count,
        request_id=request_id,
    )


def changed(what: str, **fields: object) -> None:
    """Record that somebody's access was changed by a call; the line carries the caller and the request id."""
    call = context.current()
    _log.warning(
        what,
        audit="access.changed",
        who=call.principal if call else "",
        method=call.method if call else "",
        **fields,
    )
