"""Cases: their states, and which step leads from one to another."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from uuid import UUID

from services.care.domain.sla import Promise


class CaseState(StrEnum):
    """Say how far a case is."""

    NEW = "new"
    OPEN = "open"
    WAITING = "waiting"
    RESOLVED = "resolved"
    CLOSED = "closed"


class MessageKind(StrEnum):
    """Say who speaks to whom."""

    INBOUND = "inbound"
    REPLY = "reply"
    NOTE = "note"


ACTIVE = (CaseState.NEW, CaseState.OPEN, CaseState.WAITING)
"""States in which somebody is at work, or should be."""

AFTER_MESSAGE: Mapping[MessageKind, Mapping[CaseState, CaseState]] = {
    MessageKind.INBOUND: {
        CaseState.NEW: CaseState.NEW,
        CaseState.OPEN: CaseState.OPEN,
        CaseState.WAITING: CaseState.OPEN,
        CaseState.RESOLVED: CaseState.OPEN,
    },
    MessageKind.REPLY: {
        CaseState.NEW: CaseState.WAITING,
        CaseState.OPEN: CaseState.WAITING,
        CaseState.WAITING: CaseState.WAITING,
        CaseState.RESOLVED: CaseState.RESOLVED,
    },
    MessageKind.NOTE: {state: state for state in CaseState if state is not CaseState.CLOSED},
}
"""The state after a message, by kind and state before; a closed case takes none."""


CLOSE_AFTER = timedelta(days=30)
"""How long a solved case can be opened again; then it is closed for good."""


class ClosedCase(ValueError):
    """Report that a case is over for good."""


class WrongState(ValueError):
    """Report that a case cannot take a step in its present state."""


def after_message(kind: MessageKind, state: CaseState) -> CaseState:
    """Return the state of a case after a message; raises ClosedCase."""
    try:
        return AFTER_MESSAGE[kind][state]
    except KeyError:
        raise ClosedCase("the case is closed; open a new one") from None


def after_refusal(state: CaseState) -> CaseState:
    """Return the state of a case whose answer cannot be sent: open, unless it is over for good."""
    return state if state is CaseState.CLOSED else CaseState.OPEN


def check_resolve(state: CaseState) -> None:
    """Raise WrongState unless the case may be declared solved."""
    if state not in ACTIVE:
        raise WrongState(f"the case is {state}; only one that is new, open or waiting can be resolved")


def check_reopen(state: CaseState) -> None:
    """Raise WrongState unless the case may be opened again."""
    if state is not CaseState.RESOLVED:
        raise WrongState(f"the case is {state}; only one that is resolved can be opened again")


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """Hold a case as it is stored. address: where answers go when there is no contact.

    broken: the promises that were broken, of first_response and resolution. Times are aware, in UTC.
    """

    id: UUID
    number: int
    contact_id: UUID | None
    address: str
    verified: bool
    subject: str
    channel: str
    queue: str
    assignee: str | None
    assignment_reason: str
    priority: str
    state: CaseState
    origin_message: UUID | None
    first_response: Promise
    resolution: Promise
    broken: tuple[str, ...]
    csat_score: int | None
    revision: int
    create_time: datetime
    update_time: datetime

    @property
    def etag(self) -> str:
        """Return what changes with each change, and differs from that of another history of the same length."""
        return f"{self.revision}-{int(self.update_time.timestamp() * 1e6):x}"


@dataclass(frozen=True, slots=True, kw_only=True)
class CaseMessage:
    """Hold something that was said in a case."""

    id: UUID
    case_id: UUID
    kind: MessageKind
    text: str
    author: str
    external_id: str
    create_time: datetime
