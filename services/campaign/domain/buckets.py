"""The arithmetic of rate limits: places in a bucket, and who is put back until when.

A bucket is the generic cell rate algorithm (ATM Forum, Traffic Management 4.0, 4.4.2): one time, the theoretical
arrival time of the next message, in seconds of whatever clock. It lies ahead by what is used up. `store.rates` does the
same in the database, where all senders share it; a simulation has buckets of its own, in simulated time.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from services.campaign.domain.rates import Bucket, Grant

LONGEST_WAIT = 1.0
"""A change of limits is noticed within a second, whatever was waited for."""
SHORTEST_WAIT = 0.02

_HAIR = 1e-6


def grant_of(granted: int, used: float, gap: float, burst: int) -> Grant:
    """Return what is told of places that were given. used: seconds up to which the bucket is empty."""

    # A place is there once the bucket is empty for at most `burst - 1` gaps ahead.
    def until(places: int) -> float:
        return max(0.0, used - (burst - places) * gap)

    return Grant(granted, until(1), until(max(1, burst // 2)))


class Buckets:
    """Keep buckets in a time of their own; all of them are full at first."""

    def __init__(self) -> None:
        """Keep none yet."""
        self._tat: dict[str, float] = {}

    def free(self, bucket: Bucket, now: float) -> int:
        """Return how many places there are now."""
        ahead = max(0.0, self._tat.get(bucket.key, now) - now)
        return max(0, math.floor(bucket.burst + _HAIR - ahead * bucket.per_second))

    def take(self, bucket: Bucket, wanted: int, now: float) -> Grant:
        """Take up to so many places, and tell when more come."""
        granted = min(wanted, self.free(bucket, now))
        tat = max(self._tat.get(bucket.key, now), now) + granted / bucket.per_second
        self._tat[bucket.key] = tat
        return grant_of(granted, tat - now, 1 / bucket.per_second, bucket.burst)

    def wait(self, bucket: Bucket, now: float) -> float:
        """Return in how many seconds there is a place, 0 when there is one now."""
        if self.free(bucket, now):
            return 0.0
        return grant_of(0, self._tat[bucket.key] - now, 1 / bucket.per_second, bucket.burst).wait


@dataclass(frozen=True, slots=True)
class _Queue:
    until: float
    every: float


class Backlog:
    """Say for how long messages without a place are put back, so that each comes up about when its place does."""

    def __init__(self) -> None:
        """Put nobody back yet."""
        self._queues: dict[tuple[str, str], _Queue] = {}

    def put(self, bucket: Bucket, lane: str, wait: float, now: float) -> float:
        """Return for how many seconds the next message of a lane is put back. wait: until the bucket's next place."""
        gap = 1 / bucket.per_second
        known = self._queues.get((bucket.key, lane))
        at = max(known.until if known else 0.0, now + wait)
        every = min(LONGEST_WAIT, max(SHORTEST_WAIT, gap * max(1, bucket.burst // 2)))
        self._queues[bucket.key, lane] = _Queue(at + gap, every)
        return at - now

    def waits(self, now: float) -> list[float]:
        """Return how often it is worth looking for places, for each lane that still waits for some."""
        self._queues = {key: queue for key, queue in self._queues.items() if queue.until > now}
        return [queue.every for queue in self._queues.values()]
