"""Profiles from the rows of the rule tables, for the engines that take a profile."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

from services.segmentation.rules.core import CORE_ATTRIBUTES
from services.segmentation.rules.errors import ProfileError
from services.segmentation.rules.profile import MAX_AMOUNT, MAX_SCALE, Event, Profile, checked_value
from services.segmentation.rules.registry import EventType, Registry


@dataclass(frozen=True, slots=True)
class EventRow:
    """Hold the columns of one row of the event table; payload is JSON text, whose numbers keep all their digits."""

    event_id: UUID
    type: str
    category: str | None
    amount: Decimal | None
    occurred_at: datetime
    payload: str


def lenient(registry: Registry) -> Registry:
    """Return a registry that takes stored events as they are: a field that was declared later may be missing."""
    types = (
        EventType(kind.name, tuple(replace(field, optional=True) for field in kind.fields))
        for kind in registry.event_types
    )
    return replace(registry, event_types=tuple(types))


def stored_profile(
    registry: Registry,
    row: Any,
    events: Iterable[EventRow] = (),
    *,
    segments: Iterable[str] = (),
    plugin_values: Mapping[tuple[str, tuple[Any, ...]], Any] | None = None,
) -> Profile:
    """Return the profile that a row of the profile table and its events hold; what the registry does not name, or
    names with another type, is missing, as it is for SQL.
    """
    attributes: dict[str, Any] = {"birth_date": row.birth_date, "age": row.stated_age}
    for core in CORE_ATTRIBUTES:
        if core.name not in ("age", "birth_date", "tags"):
            attributes[core.name] = getattr(row, core.name)
    for custom in registry.attributes:
        attributes[custom.name] = _value(custom.type, row.attributes.get(custom.name))
    traits = {trait.name: _value(trait.type, row.traits.get(trait.name)) for trait in registry.traits}
    consents = {name: _value("string", row.consents.get(name)) for name in registry.consents}
    return Profile(
        contact_id=row.contact_id,
        attributes=_present(attributes),
        tags=tuple(row.tags),
        consents=_present(consents),
        traits=_present(traits),
        location=None if row.latitude is None else (row.latitude, row.longitude),
        events=tuple(
            _event(registry.events_by_name[event.type], event)
            for event in events
            if event.type in registry.events_by_name
        ),
        segments=frozenset(segments),
        plugin_values=dict(plugin_values or {}),
    )


def _present(values: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in values.items() if value is not None}


def _event(kind: EventType, row: EventRow) -> Event:
    stored = json.loads(row.payload, parse_float=Decimal)
    columns = {"category": row.category, "amount": row.amount}
    payload = {}
    for field in kind.fields:
        value = columns[field.promoted] if field.promoted else stored.get(field.name)
        payload[field.name] = _value(field.type, _exact(value) if field.type == "double" else value)
    return Event(kind.name, row.occurred_at, _present(payload), row.event_id)


def _exact(value: Any) -> Any:
    """Return a number as a decimal, or as a double where it is beyond what decimals may be."""
    if isinstance(value, bool) or not isinstance(value, int | Decimal):
        return value
    number = Decimal(value)
    beyond = abs(number) > MAX_AMOUNT or -int(number.normalize().as_tuple().exponent) > MAX_SCALE
    return float(number) if beyond else number


def _value(kind: str, value: Any) -> Any:
    if value is None:
        return None
    if kind == "timestamp" and isinstance(value, str):
        try:
            value = datetime.fromisoformat(value)
        except ValueError:
            return None
    if kind == "double" and isinstance(value, int) and not isinstance(value, bool):
        value = float(value)
    if kind == "int" and isinstance(value, Decimal | float) and value == int(value):
        value = int(value)
    try:
        return checked_value(kind, value, "a stored value")
    except ProfileError:
        return None
