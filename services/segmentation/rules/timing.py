"""Leaves of a rule that depend on time, and the exact first instant at which one of them changes for a
profile.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta

from services.segmentation.rules import ir
from services.segmentation.rules.interpreter import ERR, Interpreter, View
from services.segmentation.rules.moments import LAST_CHANGE, STEP, birthdays_after, check_now
from services.segmentation.rules.profile import Profile
from services.segmentation.rules.registry import EventType

Atom = tuple[ir.Node, tuple[ir.ListExpr, ...]]
OLDEST = 150
"""Age in years from which no further birthday is awaited."""


def leaves_of(root: ir.Node) -> tuple[ir.Node, ...]:
    """Return the largest boolean parts without && || ! ?: outside macros that can change with time alone."""
    return tuple(dict.fromkeys(leaf for leaf in _leaves(root) if _depends_on_time(leaf)))


def _leaves(node: ir.Node) -> Iterator[ir.Node]:
    if isinstance(node, ir.And | ir.Or | ir.Not) or (isinstance(node, ir.Ternary) and node.kind == "bool"):
        for child in node.children():
            yield from _leaves(child)
        return
    yield node
    # A condition of ?: inside a comparison is a leaf of its own.
    for ternary in _ternaries(node):
        yield from _leaves(ternary.condition)


def _ternaries(node: ir.Node) -> Iterator[ir.Ternary]:
    if isinstance(node, ir.Count | ir.Quantified | ir.Aggregate):
        return
    if isinstance(node, ir.Ternary):
        yield node
    for child in node.children():
        yield from _ternaries(child)


def _depends_on_time(leaf: ir.Node) -> bool:
    return ir.mentions_now(leaf) or any(isinstance(items.source, EventType) for _, items in ir.lists_in(leaf))


def atoms_of(
    node: ir.Node, around: tuple[ir.ListExpr, ...] = (), skip: frozenset[int] = frozenset()
) -> Iterator[Atom]:
    """Yield each use of now or of the age, with those lists around it whose items it reads.

    skip: ids of the nodes that are left out with all below them.
    """
    if id(node) in skip:
        return
    if isinstance(node, ir.NowCompare):
        yield node, tuple(items for items in around if ir.uses_var(node.time, items.var))
    if isinstance(node, ir.Attr) and node.group == "core" and node.name == "age":
        yield node, ()
    if isinstance(node, ir.Count | ir.Quantified | ir.Aggregate):
        around = (*around, node.items)
    for child in node.children():
        yield from atoms_of(child, around, skip)


def first_change(
    interpreter: Interpreter, leaves: tuple[ir.Node, ...], profile: Profile, now: datetime
) -> datetime | None:
    """Return the first instant after ``now`` at which a leaf has another value than before it, with no new
    event.
    """
    now = check_now(now)
    view = interpreter.prepare(profile)
    changes = [c for leaf in leaves if (c := _leaf_change(interpreter, leaf, view, now)) is not None]
    return min(changes, default=None)


def _leaf_change(interpreter: Interpreter, leaf: ir.Node, view: View, now: datetime) -> datetime | None:
    atoms = list(atoms_of(leaf))
    types = {items.source.name for _, items in ir.lists_in(leaf) if isinstance(items.source, EventType)}
    before = interpreter.value(leaf, view, now)
    at = now
    while (candidate := next_candidate(interpreter, atoms, types, view, at)) is not None:
        value = interpreter.value(leaf, view, candidate)
        if (value is ERR or value is None) != (before is ERR or before is None) or (
            value != before and value is not None
        ):
            return candidate
        at = candidate
    return None


def next_candidate(
    interpreter: Interpreter, atoms: list[Atom], types: set[str], view: View, at: datetime
) -> datetime | None:
    """Return the next instant at which anything that these uses of now and types of event tell can change.

    Values in between are constant.
    """
    instants = [e.time for name in types for e in view.events.get(name, ()) if e.time > at]
    for atom, used in atoms:
        if not isinstance(atom, ir.NowCompare):
            if view.born is not None and at.year - view.born.year < OLDEST:
                instants += birthdays_after(view.born, at, interpreter.registry.time_zone, 1)
            continue
        for chosen in interpreter.combinations(list(used), view, at):
            time = interpreter.value(atom.time, view, at, chosen)
            if time is not None and time is not ERR:
                instants += [i for i in flips_of(atom, time) if i > at]
    return min((i for i in instants if i < LAST_CHANGE), default=None)


def flips_of(atom: ir.NowCompare, time: datetime) -> list[datetime]:
    """Return the instants at which a comparison of now with a time has another value than before."""
    extras = (
        [timedelta(0)]
        if atom.op in ("<", ">=")
        else [STEP]
        if atom.op in ("<=", ">")
        else [timedelta(0), STEP]
    )
    flips = []
    for extra in extras:
        try:
            flips.append(time + atom.shift + extra)
        except OverflowError:
            # Beyond the calendar: never, or long past.
            continue
    return flips
