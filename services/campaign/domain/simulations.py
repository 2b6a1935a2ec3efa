"""Simulations: what they are asked, and what they keep of a message."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

OPEN, SEND, REFUSE, WAIT = "open", "send", "refuse", "wait"
KEPT = timedelta(days=14)
"""So long a simulation is kept."""
LONGEST_PERIOD = timedelta(days=366)
DEFAULT_PERIOD = timedelta(days=7)
BEYOND = timedelta(days=366)
"""So far beyond the present those are followed who are on a journey."""
FOR_WINNER = "WAITS_FOR_WINNER"
AT_END = "SIMULATION_END"


@dataclass(frozen=True, slots=True, kw_only=True)
class Simulation:
    """Hold a simulation. kinds: of addresses, by channel; summary: as the API has it, None while it runs."""

    id: UUID
    origin: str
    start_time: datetime
    end_time: datetime | None
    create_time: datetime
    kinds: Mapping[str, str]
    summary: dict[str, Any] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Planned:
    """Hold a message as it is planned; decision: OPEN unless the plan decides on it."""

    number: int
    contact_id: UUID
    channel: str
    topic: str
    template_id: str
    coupon_pool_id: str
    variant: str = ""
    step_id: str = ""
    due_time: datetime
    decision: str = OPEN
    reason: str = ""


@dataclass(slots=True)
class Item:
    """Hold an open message in hand. due: when it is looked at; zone, domain: known once it was asked about."""

    number: int
    contact_id: UUID
    channel: str
    topic: str
    template_id: str
    coupon_pool_id: str
    due_time: datetime
    deferral: str
    deferrals: str
    rate_seconds: float
    zone: str
    domain: str
    asked: bool
    problem: str = ""

    def defer(self, reason: str, until: datetime) -> None:
        """Put it back, and note why."""
        self.due_time = until
        self.deferral = reason
        self.mark(word_of(reason))

    def mark(self, word: str) -> None:
        """Note that it waits for something."""
        words = [*filter(None, self.deferrals.split(","))]
        if word not in words:
            self.deferrals = ",".join([*words, word])


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """Hold a message as callers see it."""

    number: int
    contact_id: UUID
    channel: str
    topic: str
    template_id: str
    variant: str
    step_id: str
    plan_time: datetime
    due_time: datetime
    decision: str
    reason: str
    deferral: str
    send_time: datetime | None
    rate_seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class FoundEntry:
    """Hold who would have been on a journey; path: steps as (step, edge, next, arrive, leave)."""

    number: int
    contact_id: UUID
    event_type: str
    start_time: datetime
    step_id: str
    step: int
    due_time: datetime
    finish_time: datetime | None
    outcome: str
    path: list[list[str]]


def word_of(reason: str) -> str:
    """Return the first word of a reason, by which it is counted."""
    return reason.partition(":")[0]
