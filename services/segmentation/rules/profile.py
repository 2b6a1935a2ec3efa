"""One contact's profile as the evaluator takes it, and the one way its values are stored."""

from __future__ import annotations

import math
import re
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

from services.segmentation.rules.core import CORE_BY_NAME
from services.segmentation.rules.errors import ProfileError
from services.segmentation.rules.moments import FIRST_TIME, LAST_TIME
from services.segmentation.rules.natives import INT_MAX, INT_MIN
from services.segmentation.rules.registry import EventType, Registry

MAX_AMOUNT = Decimal(10) ** 18
MAX_SCALE = 18
_UNSTORABLE = re.compile("[\0\ud800-\udfff]")


@dataclass(frozen=True)
class Event:
    """One event of a contact: ``type`` is the dotted name, ``time`` an aware instant, ``payload`` values by
    field name, ``id`` what tells it from others (no rule reads it).
    """

    type: str
    time: datetime
    payload: Mapping[str, Any] = field(default_factory=dict)
    id: UUID | None = None


@dataclass(frozen=True)
class Profile:
    """What rules read about one contact.

    ``attributes`` holds core and custom attributes by name, values missing from it are missing; ``age`` given
    there is the stated age, ``birth_date`` (a date) wins over it. ``location`` is (latitude, longitude).
    ``segments`` are resource names of the segments the contact is a member of. ``plugin_values`` maps
    (function, params) to a plugin's answer. ``contact_id`` is what buckets hash: without it they are unknown.
    """

    attributes: Mapping[str, Any] = field(default_factory=dict)
    tags: tuple[str, ...] = ()
    consents: Mapping[str, str] = field(default_factory=dict)
    traits: Mapping[str, Any] = field(default_factory=dict)
    location: tuple[float, float] | None = None
    events: tuple[Event, ...] = ()
    segments: frozenset[str] = frozenset()
    plugin_values: Mapping[tuple[str, tuple[Any, ...]], Any] = field(default_factory=dict)
    contact_id: UUID | None = None


def check_names(registry: Registry, profile: Profile) -> None:
    """Raise ProfileError when a profile names an attribute, trait or consent that is not registered."""
    custom = {a.name for a in registry.attributes}
    for what, given, known in (
        ("attribute", profile.attributes, custom | CORE_BY_NAME.keys()),
        ("trait", profile.traits, {t.name for t in registry.traits}),
        ("consent", profile.consents, set(registry.consents)),
    ):
        unknown = sorted(given.keys() - known)
        if unknown:
            raise ProfileError(f"there is no {what} {unknown[0]!r}: register it first")


def checked_value(kind: str, value: Any, what: str) -> Any:
    """Return a value brought to its stored form (NFC text, UTC time, int, float or Decimal); ProfileError if
    it does not fit.
    """
    if kind == "string" and isinstance(value, str):
        if _UNSTORABLE.search(value):
            raise ProfileError(f"{what}: a text cannot contain U+0000 or lone surrogates")
        return unicodedata.normalize("NFC", value)
    if kind == "strings" and isinstance(value, list | tuple | set | frozenset):
        return tuple(dict.fromkeys(checked_value("string", v, what) for v in value))
    if kind == "bool" and isinstance(value, bool):
        return value
    if kind == "int" and isinstance(value, int) and not isinstance(value, bool):
        if not INT_MIN <= value <= INT_MAX:
            raise ProfileError(f"{what}: {value} does not fit in 64 bits")
        return value
    if kind == "double" and isinstance(value, int | float | Decimal) and not isinstance(value, bool):
        return _number(value, what)
    if kind == "timestamp" and isinstance(value, datetime):
        if value.tzinfo is None:
            raise ProfileError(f"{what}: the time {value} has no time zone")
        return _instant(value, what)
    raise ProfileError(f"{what}: {value!r} is not of type {kind}")


def _instant(value: datetime, what: str) -> datetime:
    try:
        value = value.astimezone(UTC)
    except OverflowError:
        value = FIRST_TIME - timedelta(days=1)
    if not FIRST_TIME <= value <= LAST_TIME:
        raise ProfileError(
            f"{what}: the time is out of range: use {FIRST_TIME.isoformat()} to {LAST_TIME.isoformat()}"
        )
    return value


def _number(value: int | float | Decimal, what: str) -> float | Decimal:
    if isinstance(value, int):
        value = Decimal(value)
    if not math.isfinite(value):
        raise ProfileError(f"{what}: {value} is not a finite number")
    if isinstance(value, Decimal):
        _, digits, exponent = value.as_tuple()
        decimals = -int(exponent)
        if decimals > MAX_SCALE:  # zeros at the end do not count
            decimals -= len(digits) - len("".join(map(str, digits)).rstrip("0"))
        if abs(value) > MAX_AMOUNT or decimals > MAX_SCALE or len(digits) > 100:
            raise ProfileError(f"{what}: {value} is out of range (at most 1e18, with {MAX_SCALE} decimals)")
        return value
    return 0.0 if 0 < abs(value) < 1e-300 else value


def time_text(value: datetime) -> str:
    """Return the one form in which times are kept inside JSON: ``2026-01-31T08:00:00.000000Z``."""
    value = value.astimezone(UTC)
    return f"{value.year:04d}-{value.strftime('%m-%dT%H:%M:%S.%f')}Z"


def _json(value: Any) -> Any:
    if isinstance(value, datetime):
        return time_text(value)
    if isinstance(value, tuple):
        return list(value)
    return value


def dump_json(values: Mapping[str, Any]) -> str:
    """Return a JSON object; decimals are written as numbers, digit by digit."""
    import json

    class Encoder(json.JSONEncoder):
        def default(self, o: Any) -> Any:  # pragma: no cover - every other type is refused before
            raise TypeError(type(o).__name__)

    parts = []
    for key, value in values.items():
        text = (
            format(value, "f")
            if isinstance(value, Decimal)
            else json.dumps(value, ensure_ascii=False, cls=Encoder)
        )
        parts.append(f"{json.dumps(key)}: {text}")
    return "{" + ", ".join(parts) + "}"


def custom_type(registry: Registry, name: str) -> str | None:
    """Return the type of a custom attribute, None when there is none of that name."""
    return next((a.type for a in registry.attributes if a.name == name), None)


def encode_attributes(registry: Registry, values: Mapping[str, Any]) -> dict[str, Any]:
    """Return custom attributes as stored in ``profile.attributes``; None values are left out, unknown names
    refused.
    """
    encoded = {}
    for name, value in values.items():
        kind = custom_type(registry, name)
        if kind is None:
            raise ProfileError(f"there is no custom attribute {name!r}: register it first")
        if value is not None:
            encoded[name] = _json(checked_value(kind, value, f"attribute {name}"))
    return encoded


def encode_traits(registry: Registry, values: Mapping[str, Any]) -> dict[str, Any]:
    """Return traits as stored in ``profile.traits``."""
    types = {t.name: t.type for t in registry.traits}
    unknown = sorted(set(values) - set(types))
    if unknown:
        raise ProfileError(f"there is no trait {unknown[0]!r}: register it first")
    return {n: _json(checked_value(types[n], v, f"trait {n}")) for n, v in values.items() if v is not None}


@dataclass(frozen=True)
class StoredEvent:
    """The columns of one row of the event table, ids apart. ``payload`` is JSON text."""

    type: str
    occurred_at: datetime
    category: str | None
    amount: Decimal | None
    payload: str


def encode_event(registry: Registry, event: Event) -> StoredEvent:
    """Return an event as stored; ProfileError names a missing or ill-typed field. Fields the type does not
    declare are dropped.
    """
    event_type = registry.events_by_name.get(event.type)
    if event_type is None:
        raise ProfileError(f"there is no event type {event.type!r}: register it first")
    values = checked_payload(event_type, event.payload)
    columns = {f.promoted: values.pop(f.name, None) for f in event_type.fields if f.promoted}
    amount = columns.get("amount")
    return StoredEvent(
        type=event.type,
        occurred_at=checked_value("timestamp", event.time, "time of the event"),
        category=columns.get("category"),
        amount=Decimal(repr(amount)) if isinstance(amount, float) else amount,
        payload=dump_json({n: _json(v) for n, v in values.items()}),
    )


def checked_payload(event_type: EventType, payload: Mapping[str, Any]) -> dict[str, Any]:
    """Return the declared payload values in stored form."""
    values: dict[str, Any] = {}
    for declared in event_type.fields:
        value = payload.get(declared.name)
        what = f"{declared.name} of {event_type.name}"
        if value is None:
            if not declared.optional:
                raise ProfileError(f"{what}: the value is missing, and the field is not optional")
            continue
        checked = checked_value(declared.type, value, what)
        if declared.promoted == "amount" and isinstance(checked, float):
            _number(Decimal(repr(checked)), what)
        values[declared.name] = checked
    return values


def profile_row(registry: Registry, contact_id: UUID, profile: Profile) -> dict[str, Any]:
    """Return the columns of the profile table for a profile; ``attributes``, ``traits`` and ``consents`` are
    JSON text.
    """
    check_names(registry, profile)
    row: dict[str, Any] = {"contact_id": contact_id}
    custom = {}
    for name, value in profile.attributes.items():
        core = CORE_BY_NAME.get(name)
        if core is None:
            custom[name] = value
        elif name == "birth_date":
            row[name] = checked_date(value)
        elif value is not None:
            stored = checked_value(core.type, value, name)
            row["stated_age" if name == "age" else name] = stored
    tags = checked_value("strings", (*row.pop("tags", ()), *profile.tags), "tags")
    consents = {
        n: checked_value("string", v, f"consent {n}") for n, v in profile.consents.items() if v is not None
    }
    latitude, longitude = checked_location(profile.location)
    return {
        **row,
        "tags": list(tags),
        "consents": dump_json(consents),
        "attributes": dump_json(encode_attributes(registry, custom)),
        "traits": dump_json(encode_traits(registry, profile.traits)),
        "latitude": latitude,
        "longitude": longitude,
    }


def checked_date(value: Any) -> date | None:
    """Return a birth date, None when missing."""
    if value is None or (isinstance(value, date) and not isinstance(value, datetime)):
        return value
    raise ProfileError(f"birth_date: {value!r} is not a date")


def checked_location(location: tuple[float, float] | None) -> tuple[float | None, float | None]:
    """Return latitude and longitude, both or neither."""
    if location is None:
        return None, None
    latitude, longitude = float(location[0]), float(location[1])
    if not (-90 <= latitude <= 90 and -180 <= longitude <= 180):
        raise ProfileError(f"location: {location} is not on Earth")
    return latitude, longitude
