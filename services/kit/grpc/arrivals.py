"""How long the server waits for what a call asks.

gRPC gives a call a thread when its headers are there. A client that then sends no request would hold the thread for
ever, and a few of them would leave none for anybody else. So the guard looks at the token first, and waits for the
request here: for a while, and for callers that nobody knows only a few at once.
"""

from __future__ import annotations

import itertools
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import grpc

from services.kit.errors import InvalidArgument, OverLimit

KNOWN_SECONDS = 30.0
"""For the request of a caller whose token is good: the largest one, over a slow line."""
PIECE_SECONDS = 120.0
"""For each message of an upload; while the server waits for it, it may hold a transaction."""
STRANGER_SECONDS = 5.0
"""For that of anybody, and for a whole stream of reflection."""

PLACE_SECONDS = 0.1
"""How long a caller that nobody knows waits for a place among those that are waited for."""


class Arrivals:
    """Wait for requests, and cancel calls that keep the server waiting; safe to share between threads."""

    def __init__(self, strangers: int) -> None:
        """strangers: how many calls of callers without a token may be waited for at once."""
        self._places = threading.BoundedSemaphore(strangers)
        # In the order of their ends, as each of them waits the same time.
        self._known = _Patience(KNOWN_SECONDS)
        self._pieces = _Patience(PIECE_SECONDS)
        self._strangers = _Patience(STRANGER_SECONDS)

    def one(self, requests: Iterator[Any], context: grpc.ServicerContext, *, known: bool) -> Any:
        """Return the only request of a call; known: whether the caller showed a good token.

        Raises OverLimit (TOO_MANY_WAITING), InvalidArgument (MALFORMED_REQUEST) when none came, and what gRPC raises
        when the call was cancelled.
        """
        if known:
            number = self._known.add(context)
            try:
                return _first(requests)
            finally:
                self._known.remove(number)
        with self.stranger(context):
            return _first(requests)

    def pieces(self, requests: Iterator[Any], context: grpc.ServicerContext) -> Iterator[Any]:
        """Yield the messages of an upload, and cancel it when the next one does not come; raises what gRPC raises."""
        while True:
            number = self._pieces.add(context)
            try:
                request = next(requests)
            except StopIteration:
                return
            finally:
                self._pieces.remove(number)
            yield request

    @contextmanager
    def stranger(self, context: grpc.ServicerContext) -> Iterator[None]:
        """Let a caller that nobody knows keep a thread for a moment; raises OverLimit (TOO_MANY_WAITING)."""
        # Who sends its request with the headers, as clients do, gives its place back at once.
        if not self._places.acquire(timeout=PLACE_SECONDS):
            raise OverLimit(
                "too many calls without a token keep this process waiting; try again later",
                reason="TOO_MANY_WAITING",
                retry_seconds=1.0,
            )
        try:
            number = self._strangers.add(context)
            try:
                yield
            finally:
                self._strangers.remove(number)
        finally:
            self._places.release()


def _first(requests: Iterator[Any]) -> Any:
    try:
        return next(requests)
    except StopIteration:
        raise InvalidArgument("the call ended without a request", reason="MALFORMED_REQUEST") from None


class _Patience:
    """Cancel calls that are waited for for too long."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._numbers = itertools.count()
        # A dict keeps the order in which calls came. Adding and removing are atomic, so calls take no lock.
        self._waiting: dict[int, tuple[float, grpc.ServicerContext]] = {}
        self._wake = threading.Event()
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None

    def add(self, context: grpc.ServicerContext) -> int:
        """Begin to wait for a call; returns what `remove` takes."""
        number = next(self._numbers)
        self._waiting[number] = (time.monotonic() + self._seconds, context)
        if not self._wake.is_set():
            self._start()
        return number

    def remove(self, number: int) -> None:
        """Wait no more."""
        self._waiting.pop(number, None)

    def _start(self) -> None:
        with self._lock:
            if self._thread is None:
                self._thread = threading.Thread(target=self._watch, name="grpc-arrivals", daemon=True)
                self._thread.start()
        self._wake.set()

    def _watch(self) -> None:
        while True:
            self._wake.wait()
            time.sleep(min(1.0, self._seconds / 4))
            # Cleared before the look, so that a call that comes after it sets it again.
            self._wake.clear()
            now = time.monotonic()
            try:
                waiting = list(self._waiting.items())
            except RuntimeError:  # one came or went meanwhile
                self._wake.set()
                continue
            for number, (end, context) in waiting:
                if end > now:
                    self._wake.set()
                    break
                self._waiting.pop(number, None)
                context.cancel()
