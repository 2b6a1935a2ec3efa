"""Promises: what is promised for a case, until when, and whether it was kept.

The clock of a promise runs in the queue's business hours from the opening of the case to its first answer, or to its
solution. Waiting for the customer does not stop it. A case that is opened again keeps the due times it had: a promise
that was kept once stays kept, one that was broken stays broken.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from services.care.domain.calendar import Calendar, CalendarError, add_business_minutes


@dataclass(frozen=True, slots=True)
class Target:
    """Hold what is promised for a priority, in business minutes; 0 for no promise."""

    first_response_minutes: int
    resolution_minutes: int


@dataclass(frozen=True, slots=True)
class Promise:
    """Hold a promise of one case: due is None without one, done is None until it is fulfilled."""

    due: datetime | None
    done: datetime | None = None

    def broken(self, now: datetime) -> bool:
        """Say whether the promise was fulfilled too late, or is due and not fulfilled."""
        return self.due is not None and (now if self.done is None else self.done) > self.due


def target_for(targets: Mapping[str, Target], priority: str) -> Target | None:
    """Return what is promised for a priority; the target for "" serves all that have none of their own."""
    return targets.get(priority) or targets.get("")


def due_times(
    target: Target | None, calendar: Calendar, opened: datetime
) -> tuple[datetime | None, datetime | None]:
    """Return when the first answer and the solution are due; None where nothing is promised.

    None too where the calendar has no such moment within 20 years: a promise that never falls due must not keep a case
    from being opened. Such targets are refused when the queue is set up.
    """
    if target is None:
        return None, None
    return (
        _due(target.first_response_minutes, calendar, opened),
        _due(target.resolution_minutes, calendar, opened),
    )


def _due(minutes: int, calendar: Calendar, opened: datetime) -> datetime | None:
    try:
        return add_business_minutes(calendar, opened, minutes) if minutes else None
    except CalendarError:
        return None


def unreachable(target: Target, calendar: Calendar, moment: datetime) -> bool:
    """Say whether a target promises something that would never fall due."""
    return any(
        minutes and _due(minutes, calendar, moment) is None
        for minutes in (target.first_response_minutes, target.resolution_minutes)
    )
