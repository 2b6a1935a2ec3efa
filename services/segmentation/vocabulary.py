"""What rules may name: from the tables, the sales service and the plugins."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection

from services.kit.names import format_name
from services.kit.plugins import Catalog, RuleRecord
from services.segmentation.domain import SEGMENTS
from services.segmentation.rules import (
    Attribute,
    EventType,
    PayloadField,
    Registry,
    RegistryError,
    RuleFunction,
    Trait,
)
from services.segmentation.store import segments, vocabulary

SALES_EVENT_TYPES = (
    EventType.parse(
        "order.placed",
        {
            "amount": "double",
            "currency": "string",
            "category": "string?",
            "coupon_code": "string?",
            "source": "string",
            "line_count": "int",
        },
    ),
    EventType.parse("order.returned", {"amount": "double", "currency": "string", "line_count": "int"}),
    EventType.parse("payment.received", {"amount": "double", "currency": "string", "method": "string?"}),
)
"""Types of event that the sales service writes; amounts are exact."""

CAMPAIGN_EVENT_TYPES = (
    EventType.parse(
        "message.clicked", {"origin": "string", "channel": "string", "topic": "string", "link": "int"}
    ),
    EventType.parse("message.opened", {"origin": "string", "channel": "string", "topic": "string"}),
)
"""Types of event that campaign writes of what people do with messages; those of machines are none."""

SHIPPED_EVENT_TYPES = (*SALES_EVENT_TYPES, *CAMPAIGN_EVENT_TYPES)
"""Types of event that are always known."""


def event_type_of(name: str, fields: Iterable[Mapping[str, Any]]) -> EventType:
    """Return a type of activity as rules know it; raises RegistryError."""
    return EventType(
        name, tuple(PayloadField(item["name"], item["type"], bool(item["optional"])) for item in fields)
    )


@dataclass(frozen=True)
class Names:
    """Hold what rules may name, as the tables have it.

    traits: records of the traits that plugins offer or offered, with whether they do.
    """

    attributes: Mapping[str, str]
    event_types: Mapping[str, Sequence[Mapping[str, Any]]]
    consents: Sequence[str]
    traits: Sequence[tuple[Mapping[str, Any], bool]]
    numbers: Mapping[str, int]


def make_registry(
    names: Names,
    catalog: Catalog,
    time_zone: str,
    functions: Iterable[RuleRecord] = (),
    *,
    known_traits: bool = False,
) -> Registry:
    """Return the registry for new rules, or for stored ones.

    functions: plugin rules as they were when a stored rule was saved; the catalog's of the same name win.
    known_traits: whether traits of plugins that are gone count, whose last values are kept.
    """
    rules = {record.name: record for record in functions} | dict(catalog.rules)
    traits: dict[str, str] = {}
    for record, available in names.traits:
        if known_traits or available:
            traits.update(record["columns"])
    for offered in catalog.traits.values():
        traits.update(offered.columns)
    return Registry(
        attributes=tuple(Attribute(name, kind) for name, kind in names.attributes.items()),  # type: ignore[arg-type]
        event_types=(*SHIPPED_EVENT_TYPES, *_event_types(names)),
        traits=tuple(Trait(name, kind) for name, kind in traits.items()),  # type: ignore[arg-type]
        functions=tuple(
            RuleFunction(record.name, record.returns, tuple(item.type for item in record.parameters))
            for record in rules.values()
        ),
        consents=(*Registry().consents, *_usable_consents(names.consents)),
        segments={format_name(SEGMENTS, id_): number for id_, number in names.numbers.items()},
        time_zone=time_zone,
    )


def _event_types(names: Names) -> list[EventType]:
    return [
        event_type_of(name, [dict(item) for item in fields]) for name, fields in names.event_types.items()
    ]


def _usable_consents(consents: Iterable[str]) -> list[str]:
    usable = []
    for name in consents:
        try:
            Registry(consents=(name,))
        except RegistryError:
            # A topic that is no identifier: it can be stored and shown, but no rule can name it.
            continue
        usable.append(name)
    return usable


def narrowed(registry: Registry, depends: Iterable[str]) -> Registry:
    """Return a registry that knows only some segments, so that a compiled rule outlives the making of others."""
    wanted = {format_name(SEGMENTS, id_) for id_ in depends}
    return dataclasses.replace(
        registry, segments={name: number for name, number in registry.segments.items() if name in wanted}
    )


def load_names(connection: Connection) -> Names:
    """Read what rules may name."""

    return Names(
        vocabulary.attributes(connection),
        vocabulary.event_types(connection),
        vocabulary.consents(connection),
        [(row.record, row.available) for row in vocabulary.traits(connection)],
        segments.numbers(connection),
    )
