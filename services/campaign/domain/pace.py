"""How many messages a channel gets in one call, so that a sender can heed a pause or a stop in between."""

from __future__ import annotations

CALL_SECONDS = 0.4
"""How long one call of a channel should take."""

_MOST = 1000


class Pace:
    """Follow how fast a channel is. The first call gets two messages: the second tells whether the server is there."""

    def __init__(self, call_seconds: float = CALL_SECONDS) -> None:
        self._call_seconds = call_seconds
        self.at_once = 2
        self.seconds_per_message = 0.0

    def took(self, count: int, seconds: float) -> None:
        """Learn from a call with so many messages.

        It grows as long as calls are short, also when a call of one takes as long as one of fifty, and shrinks when
        they take too long.
        """
        each = max(seconds, 1e-6) / count
        known = self.seconds_per_message
        self.seconds_per_message = each if not known else 0.8 * known + 0.2 * each
        fitting = int(self._call_seconds / each)
        if seconds < self._call_seconds / 2:
            self.at_once = min(_MOST, max(self.at_once, fitting, 2 * count))
        elif seconds > self._call_seconds * 1.5:
            self.at_once = max(1, min(fitting, count - 1))
