"""Tasks: what is to be done for a customer, and which step leads from one state to another."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from uuid import UUID


class TaskState(StrEnum):
    """Say how far a task is."""

    OPEN = "open"
    DONE = "done"
    DROPPED = "dropped"


@dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    """Hold a task. queue: where it waits; assignee: None for whoever of the queue takes it; overdue: was told."""

    id: UUID
    title: str
    text: str
    contact_id: UUID | None
    case_id: UUID | None
    queue: str
    assignee: str | None
    priority: str
    due_time: datetime | None
    state: TaskState
    overdue: bool
    end_time: datetime | None
    source: str
    revision: int
    create_time: datetime
    update_time: datetime

    @property
    def etag(self) -> str:
        """Return what changes with each change, and differs from that of another history of the same length."""
        return f"{self.revision}-{int(self.update_time.timestamp() * 1e6):x}"


class TaskOver(ValueError):
    """Report that a task ended in another way."""


def end(state: TaskState, *, drop: bool) -> TaskState:
    """Return the state after a task is done or dropped; raises TaskOver when it ended otherwise."""
    wanted = TaskState.DROPPED if drop else TaskState.DONE
    if state not in (TaskState.OPEN, wanted):
        raise TaskOver(f"is {state} already: reopen it first")
    return wanted
