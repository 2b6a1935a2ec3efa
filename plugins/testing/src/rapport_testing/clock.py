"""A clock that stands still."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta


class FakeClock:
    """Tell the time it was last given; `now` is aware, in UTC."""

    def __init__(self, now: datetime = datetime(2026, 1, 1, tzinfo=UTC)) -> None:
        self.now = now

    def advance(self, by: timedelta) -> datetime:
        """Move on (or back) and return the new time."""
        self.now += by
        return self.now
