"""A bounded buffer of what a web process sees, written to the database many at a time by a thread of its own.

What lies in it is lost when the process is killed: openings and clicks of the last fifth of a second, or for as
long as the database is away. Nothing that anybody is promised goes this way.
"""

from __future__ import annotations

import threading
import time
from collections import deque

from prometheus_client import Counter

from services.campaign.domain.interactions import Hit
from services.campaign.usecases.interactions import record_hits
from services.kit import log
from services.kit.runtime import Runtime
from services.kit.transient import is_transient

FLUSH_SECONDS = 0.2
FLUSH_HITS = 500
MOST = 50_000

HITS = Counter("rapport_campaign_hits", "Openings and clicks, by what became of them.", ["outcome"])
_log = log.get_logger("web")


class HitBuffer:
    """Take hits from any thread and write them; `stop` writes the rest."""

    def __init__(self, runtime: Runtime, *, most: int = MOST, flush_seconds: float = FLUSH_SECONDS) -> None:
        self._runtime = runtime
        self._most = most
        self._seconds = flush_seconds
        self._waiting: deque[Hit] = deque()
        self._full = threading.Event()
        self._stopping = threading.Event()
        self._deadline = 0.0
        self._thread = threading.Thread(target=self._run, name="hits", daemon=True)

    def start(self) -> None:
        """Begin to write."""
        self._thread.start()

    def add(self, hit: Hit) -> bool:
        """Take a hit; returns False when too many wait already, and this one is not counted."""
        if len(self._waiting) >= self._most:
            HITS.labels("dropped").inc()
            return False
        self._waiting.append(hit)
        if len(self._waiting) >= FLUSH_HITS:
            self._full.set()
        return True

    def stop(self, seconds: float) -> None:
        """Write what waits, as far as the time lasts, and end."""
        self._deadline = time.monotonic() + seconds
        self._stopping.set()
        self._full.set()
        if self._thread.is_alive():
            self._thread.join(seconds + 1)

    def _run(self) -> None:
        while True:
            self._full.wait(self._seconds)
            self._full.clear()
            stopping = self._stopping.is_set()
            while self._waiting:
                if not self._flush() and not self._pause():
                    _log.error("hits are lost", count=len(self._waiting))
                    return
            if stopping:
                return

    def _flush(self) -> bool:
        """Write the oldest hits, once; returns whether they are dealt with."""
        several = [self._waiting[index] for index in range(min(len(self._waiting), FLUSH_HITS))]
        try:
            written = record_hits(self._runtime, several)
        except Exception as error:
            if is_transient(error):
                _log.warning("hits cannot be written now", problem=log.safe_summary(error))
                return False
            # A mistake of ours must not stop all that come after.
            _log.exception("hits cannot be written", count=len(several))
            written = 0
        HITS.labels("written").inc(written)
        HITS.labels("unknown").inc(len(several) - written)
        for _ in several:
            self._waiting.popleft()
        return True

    def _pause(self) -> bool:
        """Wait before the next attempt; returns False when there is no more time."""
        if self._stopping.is_set():
            time.sleep(min(self._seconds, max(0.0, self._deadline - time.monotonic())))
            return time.monotonic() < self._deadline
        self._stopping.wait(1.0)
        return True
