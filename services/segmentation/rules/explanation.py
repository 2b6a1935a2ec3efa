"""Why a rule says what it says about one contact: pure, from a compiled rule and a profile to an explanation.

The answers themselves can be given by the caller, who has them from SQL; otherwise the interpreter's are used.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from services.segmentation.rules import ir
from services.segmentation.rules.facts import Fact, Facts, Side
from services.segmentation.rules.hints import Hints
from services.segmentation.rules.interpreter import ERR, Interpreter, View
from services.segmentation.rules.moments import check_now
from services.segmentation.rules.outlook import Outlook, outlook
from services.segmentation.rules.profile import Profile
from services.segmentation.rules.registry import Registry
from services.segmentation.rules.rule import CompiledRule
from services.segmentation.rules.spans import Place, Source
from services.segmentation.rules.stored import lenient
from services.segmentation.rules.structure import Branch, Op, Truth, cheapest_flip, structure_of, truth_of


@dataclass(frozen=True)
class Part:
    """Hold a part of the rule's structure with its place and value; ``leaf`` is the number of a leaf, else -1."""

    op: Op
    place: Place
    value: Truth
    parts: tuple[Part, ...] = ()
    leaf: int = -1


@dataclass(frozen=True)
class Leaf:
    """Hold a leaf: its place, its value, both sides of a comparison, and the facts behind it."""

    node: ir.Node
    place: Place
    value: Truth
    sides: tuple[Side, ...]
    facts: tuple[Fact, ...]


@dataclass(frozen=True)
class Change:
    """Hold a leaf that would have to change, to what, and what that takes in plain words."""

    leaf: int
    to: bool
    hint: str


@dataclass(frozen=True)
class Explanation:
    """Hold why a rule gives its outcome for a contact at an instant.

    outcome: TRUE, FALSE or None (unknown). changes: the fewest leaves whose change would turn it, None when no change
    of leaves can; changes_certain: whether that is proven. outlook: when it turns by itself.
    """

    outcome: Truth
    now: datetime
    tree: Part
    leaves: tuple[Leaf, ...]
    changes: tuple[Change, ...] | None
    changes_certain: bool
    outlook: Outlook


def explain(
    rule: CompiledRule,
    profile: Profile,
    now: datetime,
    *,
    values: Mapping[ir.Node, Any] | None = None,
    registry: Registry | None = None,
    others: Mapping[str, CompiledRule] | None = None,
    lists: Collection[str] = (),
    known_until: datetime | None = None,
    known: Outlook | None = None,
) -> Explanation:
    """Explain a rule's outcome for a profile at ``now``.

    values: of leaves and of their operands (``facts.operands_of``), by another engine; those not given are interpreted.
    registry: the one that names what the profile holds, by default the rule's own. others: the rules of the segments
    that the rule names, directly or not, each after those that it names. lists: names of the segments without a rule.
    known_until: an instant from which plugins' answers may be others. known: the outlook, when the profile does not
    hold all events.
    """
    now = check_now(now)
    interpreter = Interpreter(lenient(registry or rule.registry))
    values = values or {}
    view = interpreter.prepare(profile)
    branch, nodes = structure_of(rule.ir)
    truths = [values[n] if n in values else _truth(interpreter, n, view, now) for n in nodes]
    source = Source(rule.text)
    facts = Facts(interpreter, view, now, source, values)
    leaves = tuple(
        Leaf(node, source.place(node), value, facts.sides(node), facts.of(node, value))
        for node, value in zip(nodes, truths, strict=True)
    )
    flip = cheapest_flip(branch, nodes, truths)
    hints = Hints(facts, lists)
    changes = None
    if flip is not None:
        changes = tuple(
            Change(turn.leaf, turn.to, hints.of(nodes[turn.leaf], turn.to, leaves[turn.leaf].facts))
            for turn in flip.turns
        )
    if known is None:
        named = {name: other.ir for name, other in (others or {}).items()}
        known = outlook(interpreter, rule.ir, view, now, others=named, known_until=known_until)
    return Explanation(
        truth_of(branch, truths),
        now,
        _part(branch, source, truths),
        leaves,
        changes,
        flip.certain if flip is not None else True,
        known,
    )


def _truth(interpreter: Interpreter, node: ir.Node, view: View, now: datetime) -> Truth:
    value = interpreter.value(node, view, now)
    return None if value is ERR or value is None else bool(value)


def _part(branch: Branch, source: Source, values: Sequence[Truth]) -> Part:
    parts = tuple(_part(part, source, values) for part in branch.parts)
    return Part(branch.op, source.place(branch.node), truth_of(branch, values), parts, branch.leaf)
