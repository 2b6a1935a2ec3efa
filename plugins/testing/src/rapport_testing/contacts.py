"""Make contacts with their events for tests."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from datetime import datetime
from decimal import Decimal
from typing import Any
from uuid import uuid4

from rapport_sdk import Event, Profile


def event(
    type_: str,
    occurred_at: datetime,
    amount: str | int | Decimal | None = None,
    category: str | None = None,
    **payload: Any,
) -> Event:
    """Make an event with an id of its own; the amount is exact, so give it as text, int or Decimal."""
    exact = None if amount is None else Decimal(amount)
    return Event(type_, occurred_at, uuid4(), category, exact, payload)


def contact(*events: Event, **fields: Any) -> Profile:
    """Make a contact with an id of its own; fields as in rapport_sdk.Profile, events in any order."""
    given = {"contact_id": uuid4(), "kind": "person", **fields}
    return with_events(Profile(**given), events)


def with_events(profile: Profile, events: Iterable[Event]) -> Profile:
    """Return the contact with these events, oldest first."""
    return replace(profile, history=tuple(sorted(events, key=lambda item: (item.occurred_at, item.event_id))))
