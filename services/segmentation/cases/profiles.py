"""The contact of a case, as both engines take it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from services.segmentation.cases.nodes import Node
from services.segmentation.cases.problems import FileError
from services.segmentation.cases.reading import RawCase, segment_names
from services.segmentation.cases.values import day, mapping, place, text, typed, unknown
from services.segmentation.cases.vocabulary import answer_for, call_of
from services.segmentation.rules import CompiledRule, Event, EventType, Profile, Registry, ir
from services.segmentation.rules.core import CORE_ATTRIBUTES
from services.segmentation.rules.moments import FIRST_NOW, LAST_NOW

EARLIEST = datetime(2000, 1, 1, tzinfo=UTC)
"""Instant of evaluation of a case that gives none and has no later event."""


@dataclass(frozen=True)
class Vocabulary:
    """Hold what the contacts of a file may have, for quick access."""

    registry: Registry
    attributes: dict[str, str]
    traits: dict[str, str]

    @classmethod
    def of(cls, registry: Registry) -> Vocabulary:
        """Index a registry."""
        attributes = {item.name: str(item.type) for item in CORE_ATTRIBUTES}
        attributes |= {item.name: str(item.type) for item in registry.attributes}
        return cls(registry, attributes, {item.name: item.type for item in registry.traits})


def profile_of(case: RawCase, known: Vocabulary) -> Profile:
    """Return the contact of a case, without answers of plugins; raises FileError."""
    attributes: dict[str, Any] = {}
    consents: dict[str, str] = {}
    traits: dict[str, Any] = {}
    location = None
    segments = set(case.segments)
    places = {*known.attributes, "consents", "traits", "location", "segments"}
    for name, node in mapping(case.contact, "contact", places).items():
        what = f"contact.{name}"
        if name == "birth_date":
            attributes[name] = day(node, what)
        elif name in known.attributes:
            attributes[name] = typed(node, known.attributes[name], what)
        elif name == "location":
            location = place(node, what)
        elif name == "segments":
            segments.update(segment_names(node))
        elif name == "consents":
            for key, item in mapping(node, what).items():
                consents[key] = typed(item, "string", f"{what}.{key}")
        else:
            for key, item in mapping(node, what, known.traits).items():
                traits[key] = typed(item, known.traits[key], f"{what}.{key}")
    tags = tuple(attributes.pop("tags", None) or ())
    if attributes.get("age", 0) is not None and attributes.get("age", 0) < 0:
        raise FileError(case.contact.line, f"contact.age: {attributes['age']} is no age")
    given = {name: value for name, value in attributes.items() if value is not None}
    return Profile(
        given,
        tags,
        {name: value for name, value in consents.items() if value is not None},
        {name: value for name, value in traits.items() if value is not None},
        location,
        tuple(_event(node, known.registry) for node in case.events),
        frozenset(segments),
    )


def _event(node: Node, registry: Registry) -> Event:
    parts = mapping(node, "an event")
    for key in ("type", "time"):
        if key not in parts or parts[key].value is None:
            raise FileError(node.line, f"an event lacks its {key}")
    name = text(parts["type"], "type")
    kind = registry.events_by_cel_name.get(name.replace(".", "_"))
    if kind is None:
        raise FileError(parts["type"].line, unknown(name, "event type", registry.events_by_cel_name))
    what = f"event {name}"
    time = typed(parts["time"], "timestamp", "time")
    payload = {}
    for key, item in mapping(node, what, {"type", "time", *(field.name for field in kind.fields)}).items():
        if key not in ("type", "time"):
            payload[key] = typed(item, kind.field(key).type, f"{key} of {what}")
    _check_required(node, kind, payload)
    return Event(kind.name, time, payload)


def _check_required(node: Node, kind: EventType, payload: dict[str, Any]) -> None:
    for field in kind.fields:
        if not field.optional and payload.get(field.name) is None:
            raise FileError(
                node.line,
                f"an event {kind.cel_name} lacks {field.name}: give it, or declare it optional "
                f'("{field.type}?") in event_types',
            )
        if field.promoted == "amount" and isinstance(payload.get(field.name), float):
            raise FileError(
                node.line, f"{field.name} of event {kind.cel_name} is beyond 1e18 or has over 18 decimals"
            )


def answers_of(case: RawCase, rule: CompiledRule) -> dict[tuple[str, tuple[Any, ...]], Any]:
    """Return what plugins answer to the calls of a rule; raises FileError for an answer to no call."""
    returns = {item.name: item.returns for item in rule.registry.functions}
    found = {}
    for call in rule.plugin_calls:
        node = answer_for(case, call.function, call.params)
        if node is not None and node.value is not None:
            value = typed(node, returns[call.function], f"the answer of {call.function}")
            found[call.function, call.params] = float(value) if returns[call.function] == "double" else value
    called = {(call.function, call.params) for call in rule.plugin_calls}
    names = {call.function for call in rule.plugin_calls}
    for key in mapping(case.plugins, "plugins"):
        name, params = call_of(key, case.plugins.keys[key])
        if (params is None and name not in names) or (params is not None and (name, params) not in called):
            raise FileError(case.plugins.keys[key], f"plugins: the rule does not call {key}")
    return found


def instant_of(case: RawCase, profile: Profile, rule: CompiledRule) -> datetime:
    """Return the instant of evaluation: as_of, or one that sees all events; raises FileError when it must be given."""
    if case.as_of is None and rule.uses_now and case.expect != "invalid":
        if any(isinstance(node, ir.NowCompare) for node in rule.ir.walk()):
            raise FileError(case.line, "as_of is missing: the rule uses now")
        if "birth_date" in profile.attributes:
            raise FileError(
                case.line, "as_of is missing: the rule uses the age, which follows from the birth date"
            )
    found = case.as_of or max((EARLIEST, *(item.time for item in profile.events)))
    if not FIRST_NOW <= found < LAST_NOW:
        raise FileError(case.line, f"as_of must lie in the years 1001 to 8998, it is {found.isoformat()}")
    return found
