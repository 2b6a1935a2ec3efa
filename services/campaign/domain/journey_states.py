"""Whether people move on a journey, which actions its state allows, and what a pause does to times."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from services.campaign.domain.campaigns import StateError

RUNNING, PAUSED, CANCELLED = "running", "paused", "cancelled"
Pause = tuple[datetime, datetime]
"""A stretch in which nobody moved: its first moment, and the first one after it."""


def after(action: str, origin: str, state: str) -> str:
    """Return the state after an action: `pause`, `resume`, `cancel`, `activate` or `change`; raises StateError."""
    if action == "cancel":
        return CANCELLED
    if state == CANCELLED:
        allowed = {
            "pause": "nobody is on it who could be halted",
            "resume": "nobody is on it who could go on",
            "activate": "make a journey of another id",
            "change": "make a journey of another id",
        }[action]
        raise StateError(f"{origin} is cancelled: {allowed}")
    return {"pause": PAUSED, "resume": RUNNING}.get(action, state)


def end_of_pause(moment: datetime, pauses: Sequence[Pause]) -> datetime | None:
    """Return when the pause ended in which a moment lies; None when it lies in none."""
    return next((end for start, end in pauses if start <= moment < end), None)


def unpaused(moment: datetime, pauses: Sequence[Pause]) -> datetime:
    """Return the first moment, from a given one on, at which steps were taken."""
    while (end := end_of_pause(moment, pauses)) is not None:
        moment = end
    return moment
