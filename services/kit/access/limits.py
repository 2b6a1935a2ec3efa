"""How much one caller may ask of this process: calls and bytes a second, and streams at once.

Each process counts for itself: with n replicas behind a balancer a caller may have up to n times as much.
"""

from __future__ import annotations

import math
import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass

from services.kit.errors import OverLimit

_CALLERS = 10_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """Say what one caller may ask of one process; 0 for no limit.

    calls_per_second, bytes_per_second: on average, of unary requests; bursts: how much of each may come at once;
    streams: streams at once; refused_per_second: calls without a good token, by network address.
    """

    calls_per_second: float = 0.0
    burst_calls: int = 1000
    bytes_per_second: float = 0.0
    burst_bytes: int = 1 << 27
    streams: int = 0
    refused_per_second: float = 0.0


class Buckets:
    """Hold a token bucket for each caller: it fills at a rate up to its size, and what is asked for empties it."""

    def __init__(self, rate: float, size: float, *, clock: Callable[[], float] = time.monotonic) -> None:
        """rate: a second, 0 for no limit; size: how much may be taken at once."""
        self._rate = rate
        self._size = max(size, 1.0)
        self._clock = clock
        self._lock = threading.Lock()
        self._callers: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def take(self, caller: str, amount: float = 1.0) -> float:
        """Take something; returns 0, or the seconds to wait when there is not enough, and then takes nothing.

        More than the size of a bucket can be taken from a full one.
        """
        if self._rate <= 0:
            return 0.0
        now = self._clock()
        needed = min(amount, self._size)
        with self._lock:
            level, then = self._callers.get(caller, (self._size, now))
            level = min(self._size, level + (now - then) * self._rate)
            wait = 0.0 if level >= needed else (needed - level) / self._rate
            self._callers[caller] = (level if wait else level - amount, now)
            self._callers.move_to_end(caller)
            if len(self._callers) > _CALLERS:
                # Of those who asked for nothing for the longest time, whose buckets are full again or nearly so.
                self._callers.popitem(last=False)
        return wait


class CallerLimits:
    """Refuse a caller that asks for too much, with the time after which it may come again."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._calls = Buckets(limits.calls_per_second, limits.burst_calls)
        self._bytes = Buckets(limits.bytes_per_second, limits.burst_bytes)
        self._refused = Buckets(limits.refused_per_second, 10 * limits.refused_per_second)
        self.counts_bytes = limits.bytes_per_second > 0
        self._lock = threading.Lock()
        self._streams: dict[str, int] = {}

    def call(self, caller: str) -> None:
        """Count a call; raises OverLimit (TOO_MANY_CALLS)."""
        wait = self._calls.take(caller)
        if wait:
            raise _too_much(
                f"{caller} may make {self._limits.calls_per_second:g} calls a second of each process",
                "TOO_MANY_CALLS",
                wait,
            )

    def content(self, caller: str, size: int) -> None:
        """Count the bytes of a request; raises OverLimit (TOO_MANY_BYTES)."""
        wait = self._bytes.take(caller, size)
        if wait:
            raise _too_much(
                f"{caller} may send {self._limits.bytes_per_second:g} bytes a second to each process",
                "TOO_MANY_BYTES",
                wait,
            )

    def refused(self, address: str) -> None:
        """Count a call without a good token; raises OverLimit (TOO_MANY_REFUSED_CALLS)."""
        wait = self._refused.take(address)
        if wait:
            raise _too_much(
                "too many calls without a good token came from this address", "TOO_MANY_REFUSED_CALLS", wait
            )

    def open_stream(self, caller: str) -> None:
        """Count a stream until `close_stream`; raises OverLimit (TOO_MANY_STREAMS)."""
        with self._lock:
            count = self._streams.get(caller, 0)
            if self._limits.streams and count >= self._limits.streams:
                raise OverLimit(
                    f"{caller} holds {count} streams of this process already, as many as one caller may",
                    reason="TOO_MANY_STREAMS",
                )
            self._streams[caller] = count + 1

    def close_stream(self, caller: str) -> None:
        """Give the place of a stream back."""
        with self._lock:
            count = self._streams.pop(caller, 0) - 1
            if count > 0:
                self._streams[caller] = count


def _too_much(message: str, reason: str, wait: float) -> OverLimit:
    # Rounded up, as who comes a moment too early is refused again.
    return OverLimit(
        f"{message}; try again later", reason=reason, retry_seconds=math.ceil(wait * 1000) / 1000
    )
