"""Leaves of a rule that depend on time, and the exact first instant at which one of them changes for a
profile.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta

from services.segmentation.rules import ir
from services.segmentation.rules.calendars import changes
from services.segmentation.rules.interpreter import ERR, Interpreter, View, now_value
from services.segmentation.rules.moments import LAST_CHANGE, STEP, birthdays_after, check_now
from services.segmentation.rules.profile import Profile
from services.segmentation.rules.registry import EventType

Atom = tuple[ir.Node, tuple[ir.ListExpr, ...]]
OLDEST = 150
"""Age in years from which no further birthday is awaited."""
MOST_TICKS = 3_000
"""How many calendar values of now are tried: 29 February comes back within eight years of days."""


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
    if isinstance(node, ir.NowCalendar) or (
        isinstance(node, ir.Attr) and node.group == "core" and node.name == "age"
    ):
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

    A leaf that keeps its value through ``MOST_TICKS`` calendar values of now is looked at no further: the instant
    reached is given, which is then early.
    """
    now = check_now(now)
    view = interpreter.prepare(profile)
    found = [c for leaf in leaves if (c := _leaf_change(interpreter, leaf, view, now)) is not None]
    return min(found, default=None)


def _leaf_change(interpreter: Interpreter, leaf: ir.Node, view: View, now: datetime) -> datetime | None:
    atoms = list(atoms_of(leaf))
    clock = _Clock([atom for atom, _ in atoms if isinstance(atom, ir.NowCalendar)], now)
    others = [(atom, used) for atom, used in atoms if not isinstance(atom, ir.NowCalendar)]
    # A time that is compared with now may itself depend on what the calendar says.
    entangled = bool(clock.atoms) and any(
        ir.mentions_now(a.time) for a, _ in others if isinstance(a, ir.NowCompare)
    )
    types = {items.source.name for _, items in ir.lists_in(leaf) if isinstance(items.source, EventType)}
    before = interpreter.value(leaf, view, now)
    same: set[tuple[int, ...]] = set()
    other = next_candidate(interpreter, others, types, view, now)
    decided = _decided(interpreter, leaf, view, now)
    while True:
        ahead = (other,) if decided else (other, clock.next())
        candidate = min((i for i in ahead if i is not None), default=None)
        if candidate is None or clock.ticks >= MOST_TICKS:
            return candidate
        clock.advance(candidate)
        if candidate == other or entangled:
            other = next_candidate(interpreter, others, types, view, candidate)
            decided = _decided(interpreter, leaf, view, candidate)
            same.clear()
        if clock.values in same:
            continue
        if _differ(interpreter.value(leaf, view, candidate), before):
            return candidate
        if clock.atoms:
            same.add(clock.values)


def _decided(interpreter: Interpreter, leaf: ir.Node, view: View, at: datetime) -> bool:
    """Tell whether one side of a comparison lacks a value, so that the calendar on the other changes nothing."""
    if not isinstance(leaf, ir.Compare | ir.Equal):
        return False
    for side, other in ((leaf.left, leaf.right), (leaf.right, leaf.left)):
        if not ir.mentions_now(side):
            value = interpreter.value(side, view, at)
            if value is ERR or (value is None and (isinstance(leaf, ir.Compare) or not other.can_null)):
                return True
    return False


def _differ(value: object, before: object) -> bool:
    unknown, was_unknown = (v is ERR or v is None for v in (value, before))
    return unknown != was_unknown or (not unknown and value != before)


class _Clock:
    """Follow the calendar values of now that a leaf asks for."""

    def __init__(self, atoms: list[ir.NowCalendar], now: datetime) -> None:
        self.atoms = list(dict.fromkeys(atoms))
        self.ticks = 0
        self._start(now)

    def _start(self, now: datetime) -> None:
        self._changes = [changes(now, a.part, a.zone, a.shift) for a in self.atoms]
        self._ahead = [next(c, None) for c in self._changes]
        self._values = [now_value(a, now) for a in self.atoms]

    @property
    def values(self) -> tuple[int, ...]:
        """Return the values at the instant reached."""
        return tuple(self._values)

    def next(self) -> datetime | None:
        """Return the next instant at which one of them changes."""
        return min((ahead[0] for ahead in self._ahead if ahead is not None), default=None)

    def advance(self, to: datetime) -> None:
        """Go on to an instant."""
        following = self.next()
        if following is not None and following < to:
            self._start(to)
            return
        for index, ahead in enumerate(self._ahead):
            if ahead is not None and ahead[0] == to:
                self.ticks += 1
                self._values[index] = ahead[1]
                self._ahead[index] = next(self._changes[index], None)


def next_candidate(
    interpreter: Interpreter, atoms: list[Atom], types: set[str], view: View, at: datetime
) -> datetime | None:
    """Return the next instant at which anything that these uses of now and types of event tell can change.

    The calendar of now is left out; values in between are constant.
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
