"""Between the values of the domain and what the columns hold."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any

from services.contacts.domain.attributes import ActivityField, ActivityType, Attribute, Value, ValueType
from services.contacts.domain.consents import Decision
from services.contacts.domain.identity import Identity

# One encoder for all: json.dumps with options builds a new one at each call.
to_json = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"), allow_nan=False).encode

ValueTypes = Mapping[str, ValueType]


class Times(dict[datetime, str]):
    """Write times as PostgreSQL reads them; a batch has few different ones."""

    def __missing__(self, instant: datetime) -> str:
        text = self[instant] = instant.isoformat()
        return text


def values_to_json(values: Mapping[str, Value]) -> dict[str, Any]:
    """Return attributes or fields as JSON: moments as ISO 8601 in UTC, lists as arrays."""
    return {name: _value_to_json(value) for name, value in values.items()}


def _value_to_json(value: Value) -> Any:
    return value.isoformat() if isinstance(value, datetime) else value


def values_from_json(stored: Mapping[str, Any], types: ValueTypes) -> dict[str, Value]:
    """Return attributes or fields from JSON, by the types that they are defined with."""
    return {name: _value_from_json(value, types[name]) for name, value in stored.items()}


def _value_from_json(value: Any, kind: ValueType) -> Value:
    match kind:
        case ValueType.TIMESTAMP:
            return datetime.fromisoformat(value)
        case ValueType.STRINGS:
            return tuple(value)
        case ValueType.DOUBLE:
            # jsonb writes 1e300 as a whole number.
            return float(value)
    result: Value = value
    return result


def identities_to_json(identities: Iterable[Identity]) -> str:
    """Return identities as the JSON text that stands in a contact's row."""
    parts = []
    for one in identities:
        kind, source, value = one
        # Nearly all values need no escapes, and the encoder takes longer to start than this to finish.
        plain = '"' not in value and "\\" not in value
        parts.append(f'[{kind},"{source}","{value}"]' if plain else to_json(one))
    return f"[{','.join(parts)}]"


def identities_from_json(stored: Iterable[Iterable[Any]]) -> tuple[Identity, ...]:
    """Return identities as they stand in a contact's row."""
    return tuple(map(Identity._make, stored))


def consents_to_json(consents: Mapping[str, Decision]) -> dict[str, Any]:
    """Return decisions in force as they stand in a contact's row."""
    return {
        key: {
            "channel": one.channel,
            "topic": one.topic,
            "granted": one.granted,
            "decide_time": one.decide_time.isoformat(),
            "source": one.source,
            "proof": one.proof,
        }
        for key, one in consents.items()
    }


def consents_from_json(stored: Mapping[str, Mapping[str, Any]]) -> dict[str, Decision]:
    """Return decisions in force from a contact's row."""
    return {
        key: Decision(
            one["channel"],
            one["topic"],
            one["granted"],
            datetime.fromisoformat(one["decide_time"]),
            one["source"],
            one["proof"],
        )
        for key, one in stored.items()
    }


def attribute_from_row(row: Any) -> Attribute:
    """Return a definition from its row."""
    return Attribute(
        row.id, ValueType(row.type), row.label, tuple(row.allowed_values), row.minimum, row.maximum
    )


def activity_type_from_row(row: Any) -> ActivityType:
    """Return a definition from its row."""
    fields = tuple(ActivityField(one["id"], ValueType(one["type"]), one["optional"]) for one in row.fields)
    return ActivityType(row.id, row.label, fields)
