"""A compiled rule and what can be asked of it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property, lru_cache, partial
from typing import Any

from sqlalchemy import Select
from sqlalchemy.sql.elements import ColumnElement
from sqlalchemy.sql.selectable import FromClause

from services.segmentation.rules import ir
from services.segmentation.rules.environment import environment_of
from services.segmentation.rules.evaluator import Evaluator, Outcome
from services.segmentation.rules.interpreter import Interpreter
from services.segmentation.rules.lowering import lower
from services.segmentation.rules.profile import Profile
from services.segmentation.rules.registry import EventType, Registry
from services.segmentation.rules.sql import statements
from services.segmentation.rules.sql.frames import SPAN, Lookups
from services.segmentation.rules.tables import membership, plugin_leaf
from services.segmentation.rules.timing import first_change, leaves_of
from services.segmentation.rules.weight import check_weight


@dataclass(frozen=True, order=True)
class PluginCall:
    """One call of a plugin's function: its answers are read from ``plugin_leaf`` rows with ``leaf_no =
    number``.
    """

    number: int
    function: str
    params: tuple[Any, ...]


class CompiledRule:
    """A rule that was accepted. Immutable and safe to share between threads; made by ``compile_rule``."""

    def __init__(self, text: str, registry: Registry) -> None:
        self.text = text
        self.registry = registry
        self.fingerprint = registry.fingerprint
        environment = environment_of(registry)
        self._environment = environment
        self._checked = environment.check(text)
        self.ir = lower(self._checked, text, registry)
        check_weight(self.ir, text)
        nodes = list(self.ir.walk())
        sources = [items.source for _, items in ir.lists_in(self.ir)]
        self.event_types = frozenset(s.name for s in sources if isinstance(s, EventType))
        attributes = [n for n in nodes if isinstance(n, ir.Attr)]
        self.attributes = frozenset(_path(a) for a in attributes) | (
            {"location"} if any(isinstance(n, ir.Distance | ir.HasLocation) for n in nodes) else set()
        )
        self.segments = frozenset(n.segment for n in nodes if isinstance(n, ir.InSegment))
        calls = sorted({(n.function, n.params) for n in nodes if isinstance(n, ir.PluginValue)}, key=repr)
        self.plugin_calls = tuple(PluginCall(i, f, p) for i, (f, p) in enumerate(calls))
        # The time zones that it asks, each with the place of its first use.
        self.zones: dict[str, int] = {}
        for node in nodes:
            if isinstance(node, ir.Calendar | ir.NowCalendar):
                self.zones.setdefault(node.zone, node.offset)
        self.leaves = leaves_of(self.ir)
        self.uses_now = ir.mentions_now(self.ir)

    def __repr__(self) -> str:
        return f"CompiledRule({self.text!r})"

    @property
    def time_dependent(self) -> bool:
        """Tell whether time alone can change the outcome (a window, an age, an event that has not happened
        yet).
        """
        return bool(self.leaves)

    def _lookups(self, answers: FromClause = plugin_leaf, members: FromClause = membership) -> Lookups:
        leaves = {(c.function, c.params): c.number for c in self.plugin_calls}
        return Lookups(self.registry.segments, leaves, answers, members)

    def where(
        self,
        relation: FromClause,
        answers: FromClause = plugin_leaf,
        members: FromClause = membership,
    ) -> ColumnElement[bool]:
        """Return a condition, TRUE for members, on a relation with the columns of the profile table, the very one
        that the statement selects from: another of that name would not be its row.

        The statement it is put in takes the parameter ``now``. ``answers`` has the columns of
        ``tables.plugin_leaf``, ``members`` those of ``tables.membership``.
        """
        lookups = self._lookups(answers, members)
        return statements.condition(self.ir, self.registry.time_zone, lookups, relation)

    def select_from(self, relation: FromClause, members: FromClause = membership) -> Select[Any]:
        """Return ``SELECT contact_id`` of all members among the contacts of a relation with the columns of the
        profile table; parameter ``now``. ``members`` has the columns of ``tables.membership``.
        """
        lookups = self._lookups(members=members)
        return statements.sweep(self.ir, (), self.registry.time_zone, lookups, relation).members

    def values_select(
        self, nodes: Sequence[ir.Node], relation: FromClause, members: FromClause = membership
    ) -> Select[Any]:
        """Return ``SELECT contact_id`` and the values of parts of the rule, in order, for the contacts of a
        relation; parameter ``now``. What is missing or unknown is NULL. Arguments as for ``where``.
        """
        lookups = self._lookups(members=members)
        return statements.values(nodes, self.registry.time_zone, lookups, relation)

    @cached_property
    def sweep(self) -> statements.Sweep:
        """Return what a rebuild asks of the contacts of a span: who is a member, and when time changes something.

        Parameters ``now``, and ``first`` and ``last``, the contact ids that bound the span.
        """
        return statements.sweep(self.ir, self.leaves, self.registry.time_zone, self._lookups(), span=SPAN)

    @cached_property
    def _of_all(self) -> statements.Sweep:
        return statements.sweep(self.ir, self.leaves, self.registry.time_zone, self._lookups())

    @property
    def rebuild_select(self) -> Select[Any]:
        """Return ``SELECT contact_id`` of all members; parameter ``now``."""
        return self._of_all.members

    def undecided_given(self, answers: FromClause = plugin_leaf) -> Select[Any]:
        """Return ``SELECT contact_id`` of all of a span for whom the rule is unknown; parameters as for ``sweep``.

        With some plugin calls unanswered these are the contacts that need the answers: Kleene's logic is monotone, so
        what is known without them stays as it is whatever they say.
        """
        lookups = self._lookups(answers)
        return statements.undecided(self.ir, self.registry.time_zone, lookups, span=SPAN)

    def undecided_from(self, relation: FromClause, members: FromClause = membership) -> Select[Any]:
        """Return the same over all of other profiles and memberships; arguments as for ``select_from``."""
        lookups = self._lookups(members=members)
        return statements.undecided(self.ir, self.registry.time_zone, lookups, relation)

    @cached_property
    def outcome_select(self) -> Select[Any]:
        """Return ``SELECT contact_id, value`` of everybody: TRUE, FALSE, or NULL for unknown; parameter ``now``."""
        return statements.outcomes(self.ir, self.registry.time_zone, self._lookups())

    @property
    def next_change_select(self) -> Select[Any]:
        """Return ``SELECT contact_id, next_change`` where time alone will change a leaf; parameter ``now``.

        No leaf changes before ``next_change`` unless an event or attribute is written.
        """
        changes = self._of_all.changes
        return statements.NOBODY if changes is None else changes

    @cached_property
    def _evaluator(self) -> Evaluator:
        return Evaluator(self._environment, self._checked, self.event_types)

    @cached_property
    def _interpreter(self) -> Interpreter:
        return Interpreter(self.registry)

    def evaluate(self, profile: Profile, now: datetime) -> Outcome:
        """Return what CEL's evaluator says about a profile at ``now``; LIMIT when it gives up (about 10,000
        steps).
        """
        return self._evaluator.evaluate(profile, now)

    def interpret(self, profile: Profile, now: datetime) -> Outcome:
        """Return the same by a plain interpreter of our tree, which has no limit of steps."""
        return self._interpreter.outcome(self.ir, profile, now)

    def next_change(self, profile: Profile, now: datetime) -> datetime | None:
        """Return the first instant after ``now`` at which time alone changes some leaf's value; None for
        never.
        """
        return first_change(self._interpreter, self.leaves, profile, now)


def _path(attribute: ir.Attr) -> str:
    if attribute.group == "location":
        return "location"
    prefix = {"trait": "traits.", "consent": "consents."}.get(attribute.group, "")
    return prefix + attribute.name


@lru_cache(maxsize=4096)
def _compile(text: str, registry: Registry, _segments: frozenset[tuple[str, int]]) -> CompiledRule:
    return CompiledRule(text, registry)


def compile_rule(text: str, registry: Registry) -> CompiledRule:
    """Compile a rule; RuleError (``line``, ``column``, ``message``) says what cannot be accepted. Results are
    cached.
    """
    return _compile(text, registry, frozenset(registry.segments.items()))


@dataclass(frozen=True)
class BatchStatement:
    """Verdicts of many rules on a batch of contacts, or on all of them.

    ``select`` takes ``now``, and for a batch ``contact_ids`` (list of UUID); it returns ``contact_id, segments`` (array
    of the numbers of the rules that are TRUE, ascending) and ``next_change``. A contact without a profile has no
    row. ``plugin_calls`` lists the answers expected in ``plugin_leaf`` before it runs.
    """

    select: Select[Any]
    plugin_calls: tuple[PluginCall, ...]


def batch_statement(
    rules: Sequence[tuple[int, CompiledRule]], answers: FromClause = plugin_leaf
) -> BatchStatement:
    """Build the batch statement of numbered rules, all of one registry vocabulary; keep it as long as the
    rules stay.
    """
    return _statement(statements.batch, rules, answers)


def pass_statement(rules: Sequence[tuple[int, CompiledRule]]) -> BatchStatement:
    """Build the statement that judges the contacts of a span by numbered rules in one pass; parameters as for
    ``CompiledRule.sweep``.
    """
    return _statement(partial(statements.everybody, span=SPAN), rules, plugin_leaf)


def _statement(
    build: Callable[[statements.Rules, str, Lookups], Select[Any]],
    rules: Sequence[tuple[int, CompiledRule]],
    answers: FromClause,
) -> BatchStatement:
    if len({r.fingerprint for _, r in rules}) > 1:
        raise ValueError(
            "the rules of a batch were compiled with different registries: compile them again with the "
            "current one"
        )
    numbers = [n for n, _ in rules]
    if len(set(numbers)) != len(numbers):
        raise ValueError("two rules of a batch have the same segment number")
    calls = sorted({(c.function, c.params) for _, r in rules for c in r.plugin_calls}, key=repr)
    segments: dict[str, int] = {}
    for _, rule in rules:
        segments.update(rule.registry.segments)
    time_zone = rules[0][1].registry.time_zone if rules else "UTC"
    lookups = Lookups(segments, _numbered(calls), answers)
    ordered = sorted(rules, key=lambda item: item[0])
    select = build([(n, r.ir, r.leaves) for n, r in ordered], time_zone, lookups)
    return BatchStatement(select, tuple(PluginCall(i, f, p) for i, (f, p) in enumerate(calls)))


def _numbered(calls: Sequence[tuple[str, tuple[Any, ...]]]) -> Mapping[tuple[str, tuple[Any, ...]], int]:
    return {call: number for number, call in enumerate(calls)}
