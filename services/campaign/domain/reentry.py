"""Whether a contact may start a journey again, given how it was on it before."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timedelta

from services.campaign.domain.journeys import Journey


def always_starts(item: Journey) -> bool:
    """Say whether each event starts a journey, whoever is or was on it."""
    after = item.reentry_after
    # A date that comes round is meant to start it each time.
    always = after == timedelta(0) or (after is None and item.date is not None)
    return always and not item.after_leaving


def may_start(item: Journey, stays: Iterable[tuple[datetime, datetime | None]], now: datetime) -> bool:
    """Say whether a contact starts a journey now; `store.entries.may_start` asks the database the same about many.

    stays: when each of its former entries began and ended, None for one that is on its way.
    """
    known = list(stays)
    if not known or always_starts(item):
        return True
    after = item.reentry_after
    if item.after_leaving:
        since = now - (after or timedelta(0))
        return all(end is not None and end <= since for _, end in known)
    return after is not None and max(start for start, _ in known) <= now - after
