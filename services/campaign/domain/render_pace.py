"""How long the templates of campaigns and journeys take, so that slow ones are rendered where they hold up no other.

A lane is slow when one of its messages took too long, or all of them take long on average. It is rendered apart then,
until it has been quick for a while, and each time it was slow again that while is longer.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass

SLOW_SECONDS = 0.003
"""CPU time of a message from which on a lane is slow; usual templates take a tenth of it."""
ONE_SECONDS = 0.1
"""CPU time that a message may take beside others; beyond it gets its full time apart."""
QUICK_SHARE, SLOW_SHARE = 0.15, 0.5
"""CPU time of a lane in one batch, beside others and apart."""
_FIRST_STAY, _LONGEST_STAY = 50, 10_000
_MOST_LANES = 10_000


@dataclass(slots=True)
class _Pace:
    seconds: float = 0.0
    slow: bool = False
    quick_in_a_row: int = 0
    stay: int = _FIRST_STAY


class RenderPaces:
    """Remember of the lanes of one process how long their messages take to render; safe to use from several threads.

    one_seconds: CPU time that a message may take beside others. on_slow: called when a lane has become slow.
    """

    def __init__(self, one_seconds: float = ONE_SECONDS, on_slow: Callable[[], None] = lambda: None) -> None:
        self.one_seconds = one_seconds
        self._on_slow = on_slow
        self._lock = threading.Lock()
        self._paces: dict[str, _Pace] = {}
        self._slow = 0

    @property
    def any_slow(self) -> bool:
        """Say whether any lane is slow."""
        return self._slow > 0

    def is_slow(self, lane: str) -> bool:
        """Say whether a lane is to be rendered apart."""
        pace = self._paces.get(lane)
        return pace is not None and pace.slow

    def at_once(self, lane: str, share: float) -> int:
        """Return how many messages of a lane fit into so many seconds, 1 at least; many while that is not known."""
        pace = self._paces.get(lane)
        return max(1, int(share / pace.seconds)) if pace is not None and pace.seconds > 0 else 1_000_000

    def took(self, lane: str, count: int, seconds: float, too_long: bool) -> None:
        """Learn from a batch that had so many messages of a lane. too_long: one of them took more than its time."""
        if not count and not too_long:
            return
        mean = seconds / max(count, 1)
        with self._lock:
            pace = self._paces.get(lane)
            if pace is None:
                # Those of campaigns that are over; what is still sent is soon known again.
                if len(self._paces) >= _MOST_LANES:
                    self._paces = {key: value for key, value in self._paces.items() if value.slow}
                pace = self._paces[lane] = _Pace(mean)
            pace.seconds = 0.7 * pace.seconds + 0.3 * mean
            became = not pace.slow and (too_long or pace.seconds > SLOW_SECONDS)
            if became:
                pace.slow, pace.quick_in_a_row = True, 0
            elif pace.slow:
                quick = not too_long and mean <= SLOW_SECONDS / 2
                pace.quick_in_a_row = pace.quick_in_a_row + count if quick else 0
                if pace.quick_in_a_row >= pace.stay:
                    pace.slow, pace.seconds = False, mean
                    pace.stay = min(2 * pace.stay, _LONGEST_STAY)
            self._slow = (
                sum(item.slow for item in self._paces.values()) if became or not pace.slow else self._slow
            )
        if became:
            self._on_slow()
