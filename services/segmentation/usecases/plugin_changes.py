"""What the service does when plugins come, go, or change."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from services.kit.log import get_logger
from services.kit.plugins import RuleRecord, to_json
from services.segmentation.context import Service
from services.segmentation.rulebook import plain
from services.segmentation.store import locks, segments, vocabulary
from services.segmentation.usecases.rebuilding import start_rebuild
from services.segmentation.usecases.traits import clear_trait

_log = get_logger("segmentation.plugins")


def notice_plugins(service: Service) -> None:
    """Bring what is stored of plugins in line with those that are loaded.

    Segments whose plugin is gone keep their members and say so; those whose plugin is back, or whose rule's
    version changed, are rebuilt. Traits of plugins that are gone keep their values or lose them, as they declared.
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
        if back:
            _log.info("plugins are back or changed", segments=len(back))
            start_rebuild(service, connection, back)
            segments.mark_building(connection, back)
    for record in cleared:
        clear_trait(service, list(record["columns"]))


def _newer(recorded: Mapping[str, Mapping[str, Any]], rules: Mapping[str, RuleRecord]) -> bool:
    return any(
        name in rules and rules[name].version != record["version"] for name, record in recorded.items()
    )
