"""What rules may name, and the rules in force, compiled: kept per process until a definition changes."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from rapport.segmentation.v1 import events_pb2
from sqlalchemy import Connection, Select
from sqlalchemy.dialects.postgresql.psycopg import PGDialect_psycopg

from services.kit.log import get_logger
from services.kit.plugins import Catalog, RuleRecord, object_from_json, to_json
from services.segmentation import domain
from services.segmentation.domain import SEGMENTS, ActiveRule
from services.segmentation.rules import (
    CompiledRule,
    PluginCall,
    RegistryError,
    RuleError,
    batch_statement,
    compile_rule,
)
from services.segmentation.store import segments
from services.segmentation.store.membership import StepSql, step_sql
from services.segmentation.store.profiles import ORDER_PLACED
from services.segmentation.store.telling import Notice, Notices
from services.segmentation.vocabulary import Names, load_names, make_registry, narrowed

_log = get_logger("segmentation.rules")
_DIALECT = PGDialect_psycopg(paramstyle="pyformat")  # type: ignore[no-untyped-call]

Call = tuple[str, tuple[Any, ...]]
"""A plugin's rule and its literal arguments."""


def functions_of(rule: CompiledRule, catalog: Catalog) -> dict[str, dict[str, Any]]:
    """Return the records of the plugin rules that a rule calls, by name."""
    called = {call.function for call in rule.plugin_calls}
    return {name: plain(to_json(catalog.rules[name])) for name in sorted(called) if name in catalog.rules}


def plain(record: Mapping[str, Any]) -> dict[str, Any]:
    """Return a record as the database gives it back, so that the two can be compared."""
    restored: dict[str, Any] = json.loads(json.dumps(record))
    return restored


def depends_of(rule: CompiledRule) -> list[str]:
    """Return the ids of the segments that a rule names."""
    return sorted(name.removeprefix(f"{SEGMENTS}/") for name in rule.segments)


def notice_of(rule: ActiveRule) -> Notice:
    """Return what events of a segment's members carry."""
    payload = events_pb2.MembershipChanged(segment=rule.name, version=rule.version)
    return Notice(rule.number, rule.name, rule.version, payload.SerializeToString())


def text_of(select: Select[Any]) -> tuple[str, dict[str, Any]]:
    """Return the text of a SELECT in pyformat style, and its parameters (those to be given later are None)."""
    compiled = select.compile(dialect=_DIALECT, compile_kwargs={"render_postcompile": True})
    return str(compiled), dict(compiled.construct_params(_check=False))


@dataclass(frozen=True)
class Step:
    """Hold one statement of an evaluation: the segments that it judges, its text, the answers it needs."""

    numbers: tuple[int, ...]
    sql: StepSql
    parameters: Mapping[str, Any]
    notices: Notices
    calls: tuple[PluginCall, ...]


@dataclass
class Plan:
    """Hold the rules in force, compiled, in the order in which segments name each other.

    rules and compiled: by number. broken: rules that do not compile any more, with the reason; gone: those of missing
    plugins. Both keep their members and are left out of everything else, as are those that take too long. unknown:
    rules of missing plugins that are evaluated all the same, with unknown answers. lists: segments without a rule,
    whose members no evaluation touches.
    """

    revisions: segments.Revisions
    catalog: Catalog
    rules: Mapping[int, ActiveRule] = field(default_factory=dict)
    compiled: Mapping[int, CompiledRule] = field(default_factory=dict)
    levels: Sequence[Sequence[int]] = ()
    broken: Mapping[int, str] = field(default_factory=dict)
    gone: Mapping[int, str] = field(default_factory=dict)
    unknown: frozenset[int] = frozenset()
    lists: frozenset[int] = frozenset()
    _steps: dict[tuple[bool, tuple[int, ...]], Step] = field(default_factory=dict)

    @cached_property
    def calls(self) -> tuple[Call, ...]:
        """Return the calls of plugin rules, each once."""
        found = {
            (call.function, call.params) for rule in self.compiled.values() for call in rule.plugin_calls
        }
        return tuple(sorted(found, key=repr))

    @cached_property
    def users(self) -> Mapping[Call, tuple[int, ...]]:
        """Return the segments that make each call."""
        return {
            wanted: tuple(
                number
                for number, rule in self.compiled.items()
                if any((call.function, call.params) == wanted for call in rule.plugin_calls)
            )
            for wanted in self.calls
        }

    @cached_property
    def event_types(self) -> frozenset[str]:
        """Return the types of event that rules read, those of orders always, as profiles sum them up."""
        found = {ORDER_PLACED}
        for number, rule in self.compiled.items():
            found |= rule.event_types
            for record in self.rules[number].functions.values():
                found.update(record["events"])
        return frozenset(found)

    def steps(self, without: Iterable[int] = ()) -> list[Step]:
        """Return the statements that evaluate all rules but some, in the order in which they must run."""
        left_out = frozenset(without)
        found: list[Step] = []
        for level in self.levels:
            numbers = tuple(number for number in level if number not in left_out)
            if numbers:
                found.append(self._step(numbers, first=not found))
        return found

    def alone(self, number: int, *, first: bool) -> Step:
        """Return the statement that evaluates one rule. first: whether no other was evaluated before it."""
        return self._step((number,), first=first)

    def _step(self, numbers: tuple[int, ...], *, first: bool) -> Step:
        step = self._steps.get((first, numbers))
        if step is None:
            batch = batch_statement([(number, self.compiled[number]) for number in numbers])
            sql, parameters = text_of(batch.select)
            step = Step(
                numbers,
                step_sql(sql, first=first, others=sorted((self.rules.keys() | self.lists) - set(numbers))),
                parameters,
                Notices(tuple(notice_of(self.rules[number]) for number in numbers)),
                batch.plugin_calls,
            )
            self._steps[first, numbers] = step
        return step


def make_plan(
    revisions: segments.Revisions,
    rules: Sequence[ActiveRule],
    names: Names,
    catalog: Catalog,
    time_zone: str,
    lists: Iterable[int] = (),
) -> Plan:
    """Compile the rules in force; one that cannot be compiled is set aside, whatever the reason."""
    functions: dict[str, RuleRecord] = {}
    for rule in rules:
        for name, record in rule.functions.items():
            restored = object_from_json(record)
            if isinstance(restored, RuleRecord):
                functions[name] = restored
    registry = make_registry(names, catalog, time_zone, functions.values(), known_traits=True)
    compiled: dict[int, CompiledRule] = {}
    broken: dict[int, str] = {}
    gone: dict[int, str] = {}
    unknown: set[int] = set()
    for rule in rules:
        lost = lost_functions(rule, catalog)
        kept = [name for name in lost if functions[name].when_gone == "keep"]
        if lost and not kept:
            unknown.add(rule.number)
        if kept:
            gone[rule.number] = f"{kept[0]}: {catalog.why_gone(kept[0])}; its members stay as they are"
            continue
        if rule.number in revisions.slow:
            continue
        try:
            compiled[rule.number] = compile_rule(rule.rule, narrowed(registry, rule.depends))
        except (RuleError, RegistryError) as error:
            broken[rule.number] = f"the rule cannot be compiled any more: {error}"
            _log.error("rule set aside", segment=rule.name, problem=str(error))
    by_number = {rule.number: rule for rule in rules}
    sorted_ids = domain.levels({rule.id: rule.depends for rule in rules if rule.number in compiled})
    numbers = {rule.id: rule.number for rule in rules}
    return Plan(
        revisions,
        catalog,
        by_number,
        compiled,
        tuple(tuple(sorted(numbers[id_] for id_ in level)) for level in sorted_ids),
        broken,
        gone,
        frozenset(unknown),
        frozenset(lists),
    )


def lost_functions(rule: ActiveRule, catalog: Catalog) -> list[str]:
    """Return the plugin rules that a rule calls and that no loaded plugin offers."""
    return [name for name in rule.functions if name not in catalog.rules]


class Rulebook:
    """Keep the plan of one process; safe to use from several threads."""

    def __init__(self, time_zone: str) -> None:
        self._time_zone = time_zone
        self._plan: Plan | None = None
        self._lock = threading.Lock()

    def plan(self, connection: Connection, catalog: Catalog) -> Plan:
        """Return the plan of the rules in force, as the connection's next statement sees them."""
        revisions = segments.revisions(connection)
        plan = self._plan
        if not _is_of(plan, revisions, catalog):
            with self._lock:
                plan = self._plan
                if not _is_of(plan, revisions, catalog):
                    rules = segments.active_rules(connection)
                    lists = segments.lists(connection).values()
                    names = load_names(connection)
                    plan = make_plan(revisions, rules, names, catalog, self._time_zone, lists)
                    self._plan = plan
        assert plan is not None
        return plan


def _is_of(plan: Plan | None, revisions: segments.Revisions, catalog: Catalog) -> bool:
    return (
        plan is not None
        and plan.revisions == revisions
        and (plan.catalog is catalog or plan.catalog == catalog)
    )
