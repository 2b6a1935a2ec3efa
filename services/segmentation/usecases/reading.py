"""What is known of a contact, and what rules may name."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

from services.kit.errors import NotFound
from services.kit.names import format_name
from services.kit.plugins import RuleRecord, object_from_json
from services.segmentation.context import Service
from services.segmentation.rules import Registry
from services.segmentation.rules.builtins import BUILT_INS, BuiltIn
from services.segmentation.rules.core import CORE_ATTRIBUTES
from services.segmentation.rules.moments import age_at
from services.segmentation.store import profiles, segments, vocabulary
from services.segmentation.vocabulary import load_names, make_registry


@dataclass(frozen=True)
class ProfileView:
    """Hold what rules see of a contact; missing values are absent, moments are RFC 3339 texts."""

    attributes: dict[str, Any]
    tags: list[str]
    consents: dict[str, str]
    traits: dict[str, Any]
    event_counts: dict[str, int]
    revision: int


def get_profile(service: Service, contact_id: UUID) -> ProfileView:
    """Return what rules see of a contact now; raises NotFound."""
    now = service.clock.now()
    with service.db.snapshot() as connection:
        row = profiles.find(connection, contact_id)
        if row is None:
            raise NotFound.resource(format_name("contacts", contact_id))
        counts = profiles.event_counts(connection, contact_id, now)
        registry = make_registry(
            load_names(connection), service.catalog(), service.time_zone, known_traits=True
        )
    attributes = {}
    for core in CORE_ATTRIBUTES:
        if core.name == "tags":
            continue
        value = _age(row, now, service.time_zone) if core.name == "age" else getattr(row, core.name)
        if value is not None:
            attributes[core.name] = _shown(value)
    if row.latitude is not None:
        attributes["location"] = {"latitude": row.latitude, "longitude": row.longitude}
    attributes.update({name: _shown(value) for name, value in row.attributes.items()})
    return ProfileView(
        attributes,
        list(row.tags),
        dict(row.consents),
        dict(row.traits),
        {_rule_name(registry, name): number for name, number in counts.items()},
        row.revision,
    )


def _rule_name(registry: Registry, name: str) -> str:
    known = registry.events_by_name.get(name)
    return known.cel_name if known is not None else name.replace(".", "_")


def _age(row: Any, now: datetime, time_zone: str) -> int | None:
    if row.birth_date is None:
        stated: int | None = row.stated_age
        return stated
    return age_at(row.birth_date, now, time_zone)


def _shown(value: Any) -> Any:
    match value:
        case datetime():
            return value.astimezone(UTC).isoformat().replace("+00:00", "Z")
        case date():
            return value.isoformat()
        case Decimal():
            return float(value)
    return value


@dataclass(frozen=True)
class FieldView:
    """Describe a name that rules may use."""

    name: str
    type: str
    optional: bool
    plugin: str = ""
    refresh_problem: str = ""


@dataclass(frozen=True)
class EventTypeView:
    """Describe a type of event."""

    name: str
    type: str
    fields: list[FieldView]


@dataclass(frozen=True)
class FunctionView:
    """Describe a function of a plugin."""

    name: str
    returns: str
    parameters: list[str]
    description: str
    available: bool


@dataclass
class Schema:
    """Hold what rules may name, each part by name."""

    attributes: list[FieldView] = field(default_factory=list)
    event_types: list[EventTypeView] = field(default_factory=list)
    traits: list[FieldView] = field(default_factory=list)
    functions: list[FunctionView] = field(default_factory=list)
    built_ins: tuple[BuiltIn, ...] = BUILT_INS


def get_schema(service: Service) -> Schema:
    """Return what rules may name."""
    catalog = service.catalog()
    with service.db.snapshot() as connection:
        names = load_names(connection)
        stored = [
            restored
            for rule in segments.active_rules(connection)
            for record in rule.functions.values()
            if isinstance(restored := object_from_json(record), RuleRecord)
        ]
        problems = {
            column: row.message
            for row in vocabulary.traits(connection)
            if row.available
            for column in row.record["columns"]
        }
    registry = make_registry(names, catalog, service.time_zone)
    schema = Schema()
    schema.attributes.extend(
        FieldView(core.name, _type(core.type), core.default is None) for core in CORE_ATTRIBUTES
    )
    schema.attributes.extend(
        FieldView(custom.name, _type(custom.type), True) for custom in registry.attributes
    )
    schema.attributes.extend(FieldView(f"consents.{name}", "string", True) for name in registry.consents)
    schema.attributes.append(FieldView("location", "location", True))
    schema.attributes.sort(key=lambda item: item.name)
    schema.event_types = [
        EventTypeView(
            kind.cel_name,
            kind.name,
            [FieldView(item.name, _type(item.type), item.optional) for item in kind.fields],
        )
        for kind in registry.event_types
    ]
    offers = {column: record.plugin for record in catalog.traits.values() for column in record.columns}
    schema.traits = [
        FieldView(item.name, _type(item.type), True, offers.get(item.name, ""), problems.get(item.name, ""))
        for item in registry.traits
    ]
    functions = {record.name: record for record in stored} | catalog.rules
    schema.functions = [
        FunctionView(
            record.name,
            record.returns,
            [item.type for item in record.parameters],
            record.doc,
            name in catalog.rules,
        )
        for name, record in sorted(functions.items())
    ]
    return schema


def _type(kind: str) -> str:
    return "list(string)" if kind == "strings" else kind
