"""What a supervisor tells while it works."""

from __future__ import annotations

import enum
from dataclasses import dataclass


class EventKind(enum.StrEnum):
    """What happened to a process or resource."""

    WAITING = "waiting"
    """The state folder's previous supervisor is still being cleaned up."""
    STARTING = "starting"
    READY = "ready"
    EXITED = "exited"
    """It ended though nobody asked it to."""
    RESTARTING = "restarting"
    """It will be started again after a pause."""
    HELD = "held"
    """It was killed on request and stays down until it is released."""
    FAILED = "failed"
    """It could not be started at all."""
    STOPPING = "stopping"
    STOPPED = "stopped"
    LOG_LOST = "log_lost"
    """Its output cannot be written, for want of disk space say; it keeps running."""


@dataclass(frozen=True)
class Event:
    """One thing that happened.

    `seconds` is how long the start took for READY, the pause for RESTARTING, otherwise 0. `pid` is None for
    resources.
    """

    kind: EventKind
    name: str
    detail: str = ""
    pid: int | None = None
    seconds: float = 0.0
