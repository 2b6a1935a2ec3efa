"""The boolean structure of a rule (&&, ||, !, ?: over leaves), and the fewest leaves that would turn its outcome.

Values are TRUE, FALSE and unknown (None), combined as Kleene has it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Literal

from services.segmentation.rules import ir

Truth = bool | None
Op = Literal["and", "or", "not", "choose", "leaf"]
MOST_TRIED = 200_000
"""Nodes looked at when leaves stand in a rule more than once: their changes are tried together."""


@dataclass(frozen=True)
class Branch:
    """Hold a part of the structure; a leaf has its number, others have parts. choose: condition, then, otherwise."""

    op: Op
    node: ir.Node
    parts: tuple[Branch, ...] = ()
    leaf: int = -1

    def walk(self) -> Iterator[Branch]:
        """Yield the branch and everything below it."""
        yield self
        for part in self.parts:
            yield from part.walk()


def structure_of(root: ir.Node) -> tuple[Branch, tuple[ir.Node, ...]]:
    """Return the structure of a rule and its leaves in the order of their numbers."""
    leaves: list[ir.Node] = []

    def build(node: ir.Node) -> Branch:
        op: Op = "leaf"
        if isinstance(node, ir.And | ir.Or):
            op = "and" if isinstance(node, ir.And) else "or"
        elif isinstance(node, ir.Not):
            op = "not"
        elif isinstance(node, ir.Ternary):
            op = "choose"
        else:
            leaves.append(node)
            return Branch("leaf", node, leaf=len(leaves) - 1)
        return Branch(op, node, tuple(build(part) for part in node.children()))

    return build(root), tuple(leaves)


def truth_of(branch: Branch, values: Sequence[Truth]) -> Truth:
    """Return the value of a branch from the values of the leaves."""
    if branch.op == "leaf":
        return values[branch.leaf]
    if branch.op == "not":
        value = truth_of(branch.parts[0], values)
        return None if value is None else not value
    if branch.op == "choose":
        condition = truth_of(branch.parts[0], values)
        return None if condition is None else truth_of(branch.parts[1 if condition else 2], values)
    decisive = branch.op == "or"
    found = [truth_of(part, values) for part in branch.parts]
    if decisive in found:
        return decisive
    return None if None in found else not decisive


@dataclass(frozen=True, order=True)
class Turn:
    """Hold a leaf that would have to change, and to what."""

    leaf: int
    to: bool


Cost = tuple[int, tuple[Turn, ...]]
"""How many leaves change, and which: fewer win, then those that stand first."""


@dataclass(frozen=True)
class Flip:
    """Hold the smallest set of leaves whose change turns the outcome; certain: whether it is proven smallest."""

    turns: tuple[Turn, ...]
    certain: bool


def alike(leaves: Sequence[ir.Node]) -> list[int]:
    """Return for each leaf the number of the first one that says the same: they change together."""
    first: dict[ir.Node, int] = {}
    return [first.setdefault(leaf, number) for number, leaf in enumerate(leaves)]


def can_change(leaf: ir.Node) -> bool:
    """Tell whether anything about a contact or the time could change a leaf's value."""
    return any(
        isinstance(
            node,
            ir.Attr
            | ir.HasLocation
            | ir.Distance
            | ir.InSegment
            | ir.PluginValue
            | ir.NowCompare
            | ir.NowCalendar
            | ir.Count
            | ir.Quantified
            | ir.Aggregate
            | ir.InTexts,
        )
        for node in leaf.walk()
    )


def cheapest_flip(root: Branch, leaves: Sequence[ir.Node], values: Sequence[Truth]) -> Flip | None:
    """Return the fewest leaves that, made TRUE or FALSE, make a member none and anyone else a member.

    Leaves that say the same count once and change together; beyond MOST_TRIED some of those are held as they are, and
    the answer is not certain. None: no change of leaves turns the outcome.
    """
    groups = alike(leaves)
    changeable = [can_change(leaf) for leaf in leaves]
    repeated = sorted({group for group in groups if groups.count(group) > 1 and changeable[group]})
    choices: list[list[Truth | Literal["as it is"]]] = []
    tried, size, certain = 1, sum(1 for _ in root.walk()), True
    for group in repeated:
        options: list[Truth | Literal["as it is"]] = [
            "as it is",
            *(v for v in (True, False) if v is not values[group]),
        ]
        if tried * len(options) * size > MOST_TRIED:
            options, certain = ["as it is"], False
        tried *= len(options)
        choices.append(options)
    best: Cost | None = None
    fixed = [not changeable[number] or group in repeated for number, group in enumerate(groups)]
    for combination in product(*choices):
        forced = {group: v for group, v in zip(repeated, combination, strict=True) if v != "as it is"}
        given = [forced.get(group, values[number]) for number, group in enumerate(groups)]
        costs = _costs(root, given, fixed)
        wanted = [False, None] if truth_of(root, values) is True else [True]
        found = min((c for v in wanted if (c := costs.get(v)) is not None), default=None)
        if found is None:
            continue
        turns = tuple(sorted((*found[1], *(Turn(group, bool(v)) for group, v in forced.items()))))
        best = min(best, (len(turns), turns)) if best is not None else (len(turns), turns)
    return None if best is None else Flip(best[1], certain)


def _costs(branch: Branch, values: Sequence[Truth], fixed: Sequence[bool]) -> dict[Truth, Cost]:
    """Return the cheapest way to give a branch each value it can have."""
    if branch.op == "leaf":
        value = values[branch.leaf]
        costs: dict[Truth, Cost] = {value: (0, ())}
        if not fixed[branch.leaf]:
            costs.update({to: (1, (Turn(branch.leaf, to),)) for to in (True, False) if to is not value})
        return costs
    below = [_costs(part, values, fixed) for part in branch.parts]
    if branch.op == "not":
        return {None if value is None else not value: cost for value, cost in below[0].items()}
    if branch.op == "choose":
        return _choice(below)
    # A conjunction; a disjunction is one with the values swapped.
    decisive = branch.op == "or"
    costs = {}
    if all((not decisive) in part for part in below):
        costs[not decisive] = _sum(part[not decisive] for part in below)
    if deciding := [part[decisive] for part in below if decisive in part]:
        costs[decisive] = min(deciding)
    if (unknown := _undecided(below, not decisive)) is not None:
        costs[None] = unknown
    return costs


def _undecided(below: Sequence[dict[Truth, Cost]], neutral: bool) -> Cost | None:
    """Return the cheapest way to have every part unknown or neutral, and at least one unknown."""
    options = [[part[v] for v in (neutral, None) if v in part] for part in below]
    if not all(options) or not any(None in part for part in below):
        return None
    easiest = [min(some) for some in options]
    if any(None in part and part[None] == least for part, least in zip(below, easiest, strict=True)):
        return _sum(easiest)
    return min(
        _sum((*easiest[:at], part[None], *easiest[at + 1 :])) for at, part in enumerate(below) if None in part
    )


def _choice(below: Sequence[dict[Truth, Cost]]) -> dict[Truth, Cost]:
    condition, *branches = below
    costs: dict[Truth, Cost] = {}
    for value in (True, False, None):
        options = [
            _sum((condition[way], branch[value]))
            for way, branch in zip((True, False), branches, strict=True)
            if way in condition and value in branch
        ]
        if value is None and None in condition:
            options.append(condition[None])
        if options:
            costs[value] = min(options)
    return costs


def _sum(costs: Iterator[Cost] | Sequence[Cost]) -> Cost:
    total: list[Turn] = []
    for _, turns in costs:
        total.extend(turns)
    return len(total), tuple(sorted(total))
