"""One contact and its events, as the Python form of a rule or trait sees them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date, datetime
from decimal import Decimal
from typing import Any
from uuid import UUID


@dataclass(frozen=True, slots=True)
class Event:
    """Hold one event of a contact; fields as in the view `sdk.event`."""

    type: str
    occurred_at: datetime
    event_id: UUID
    category: str | None = None
    amount: Decimal | None = None
    payload: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Profile:
    """Hold one contact; fields as in the view `sdk.profile`, None where unknown.

    history: the events of the types that were declared, oldest first, none later than the time of
    evaluation.
    next_event_time: when the first of those dated later will become visible; the host sees to it.
    """

    contact_id: UUID
    kind: str | None = None
    has_email: bool | None = None
    has_phone: bool | None = None
    language_code: str | None = None
    region_code: str | None = None
    admin_area: str | None = None
    locality: str | None = None
    ward: str | None = None
    postal_code: str | None = None
    latitude: float | None = None
    longitude: float | None = None
    time_zone: str | None = None
    birth_date: date | None = None
    gender: str | None = None
    industry: str | None = None
    occupation: str | None = None
    lifecycle_stage: str | None = None
    create_time: datetime | None = None
    first_order_time: datetime | None = None
    last_order_time: datetime | None = None
    order_count: int | None = None
    total_spent: Decimal | None = None
    tags: tuple[str, ...] = ()
    consents: Mapping[str, Any] = field(default_factory=dict)
    attributes: Mapping[str, Any] = field(default_factory=dict)
    traits: Mapping[str, Any] = field(default_factory=dict)
    revision: int | None = None
    history: tuple[Event, ...] = ()
    next_event_time: datetime | None = None

    def events(self, type_: str) -> tuple[Event, ...]:
        """Return the events of one type, oldest first."""
        return tuple(event for event in self.history if event.type == type_)
