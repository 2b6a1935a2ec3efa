"""A circuit breaker: leave alone what keeps failing, try it again with one message, and go on when that worked."""

from __future__ import annotations

import random
from collections.abc import Callable

CLOSED, OPEN, HALF_OPEN = "closed", "open", "half_open"
FIRST_PAUSE, LONGEST_PAUSE = 0.5, 30.0
IN_A_ROW = 10
"""Failures of single messages, one after the other, that open a circuit: so many are no chance."""


class Circuit:
    """Guard one channel, or one domain of a channel. Times are seconds of a monotonic clock.

    closed: all may go. open: nothing goes until the pause is over. half open: one message goes and decides; each
    failure doubles the pause, from half a second to thirty, with jitter of a quarter so that senders don't come all
    at once.
    """

    def __init__(self, jitter: Callable[[float, float], float] = random.uniform) -> None:
        self._jitter = jitter
        self._pause = 0.0
        self._until: float | None = None
        self.failures = 0
        self.problem = ""

    def state(self, now: float) -> str:
        """Return closed, open or half_open."""
        if self._until is None:
            return CLOSED
        return OPEN if now < self._until else HALF_OPEN

    def wait(self, now: float) -> float:
        """Return the seconds until a message may go."""
        return 0.0 if self._until is None else max(0.0, self._until - now)

    def places(self, now: float, wanted: int) -> int:
        """Return how many messages may go now: all, one as a probe, or none."""
        match self.state(now):
            case "closed":
                return wanted
            case "half_open":
                return min(wanted, 1)
        return 0

    def succeeded(self) -> bool:
        """Close it; returns whether it was not closed before."""
        changed = self._until is not None
        self._until, self._pause, self.failures, self.problem = None, 0.0, 0, ""
        return changed

    def failed(self, now: float, problem: str, count: int = 1) -> bool:
        """Count failures of messages; returns whether they opened it, as any failure of a probe does."""
        self.failures += count
        self.problem = problem
        if self._until is not None or self.failures >= IN_A_ROW:
            self.trip(now, problem)
            return True
        return False

    def trip(self, now: float, problem: str) -> float:
        """Open it at once, for what is true of all messages, and return the seconds until the next probe."""
        self.failures = max(self.failures, 1)
        self.problem = problem
        self._pause = min(max(FIRST_PAUSE, self._pause * 2), LONGEST_PAUSE)
        wait = self._pause * self._jitter(0.75, 1.25)
        self._until = now + wait
        return wait

    def hold(self, now: float) -> None:
        """Let nothing go while a probe is under way: until it has succeeded or failed, or as long as its pause was."""
        if self._until is not None:
            self._until = now + max(FIRST_PAUSE, self._pause)
