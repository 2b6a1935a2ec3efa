"""What the service does when plugins come, go, or change."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from services.kit.log import get_logger
from services.kit.plugins import RuleRecord, to_json
from services.segmentation.context import Service
from services.segmentation.domain import ActiveRule
from services.segmentation.rulebook import plain
from services.segmentation.store import locks, segments, vocabulary
from services.segmentation.usecases.rebuilding import start_rebuild
from services.segmentation.usecases.traits import clear_trait

_log = get_logger("segmentation.plugins")


def notice_plugins(service: Service) -> None:
    """Bring what is stored of plugins in line with those that are loaded.

    Segments whose plugin is gone keep their members and say so; those whose plugin is back, whose rule's version
    changed, or whose rebuild failed for a plugin, are rebuilt. Traits of plugins that are gone keep their values or
    lose them, as they declared.
    """
    catalog = service.catalog()
    with service.db.transaction() as connection:
        # Nobody evaluates while segments are set aside or taken up again.
        locks.own_membership(connection)
        segments.lock_definitions(connection)
        offered = {name: plain(to_json(record)) for name, record in catalog.traits.items()}
        if vocabulary.put_traits(connection, offered):
            segments.bump(connection, names=True)
        cleared = [
            row.record
            for row in vocabulary.traits(connection)
            if not row.available and row.record["when_gone"] == "clear"
        ]
        plan = service.plan(connection)
        states = segments.states(connection)
        segments.stall(connection, {**plan.gone, **plan.broken}, gone=True)
        segments.stall(connection, dict.fromkeys(plan.unknown, ""), gone=True)
        # What is unknown from now on changes members as much as what is known again.
        back = [
            rule.id
            for number, rule in plan.rules.items()
            if number in plan.compiled
            and (states[number][2] != (number in plan.unknown) or _newer(rule.functions, catalog.rules))
        ]
        # A worker that starts may have a mended plugin.
        back += [
            rule.id for rule in _can_retry(service, segments.to_retry(connection)) if rule.id not in back
        ]
        if back:
            _log.info("plugins are back or changed", segments=len(back))
            start_rebuild(service, connection, back)
            segments.mark_building(connection, back)
    for record in cleared:
        clear_trait(service, list(record["columns"]))


def retry_failed(service: Service) -> int:
    """Start the rebuild of segments whose last one failed for a plugin, when it is due; returns of how many."""
    now = service.clock.now()
    with service.db.transaction() as connection:
        due = [rule.id for rule in _can_retry(service, segments.to_retry(connection, now))]
        if due:
            _log.info("rebuilds that failed for a plugin are tried again", segments=len(due))
            start_rebuild(service, connection, due)
            segments.mark_building(connection, due)
        return len(due)


def _can_retry(service: Service, rules: Iterable[ActiveRule]) -> list[ActiveRule]:
    """Return those of some rules whose plugins are there, or need not be."""
    offered = service.catalog().rules
    return [
        rule
        for rule in rules
        if all(name in offered or record["when_gone"] != "keep" for name, record in rule.functions.items())
    ]


def _newer(recorded: Mapping[str, Mapping[str, Any]], rules: Mapping[str, RuleRecord]) -> bool:
    return any(
        name in rules and rules[name].version != record["version"] for name, record in recorded.items()
    )
