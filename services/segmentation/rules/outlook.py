"""When time alone turns the outcome of a rule for a profile, with no new event and no change of the profile."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from itertools import islice

from services.segmentation.rules import ir
from services.segmentation.rules.calendars import changes
from services.segmentation.rules.interpreter import ERR, Interpreter, View
from services.segmentation.rules.moments import LAST_CHANGE, check_now
from services.segmentation.rules.registry import EventType
from services.segmentation.rules.structure import structure_of
from services.segmentation.rules.sweep import Sweep
from services.segmentation.rules.timing import MOST_TICKS, Atom, atoms_of, flips_of, next_candidate

MOST_STEPS = 20_000
"""Instants at which a rule is evaluated."""
WORK = 100_000
"""Evaluations of a list's items that a question may cost; bounds events and instants. One takes about 10 µs."""


@dataclass(frozen=True)
class Outlook:
    """Hold when the outcome turns by itself.

    at: the first instant of another outcome, None when there is none that is known; value: the outcome from then on.
    known_until: None when all of the future was looked at, otherwise nothing is known beyond it.
    """

    at: datetime | None = None
    value: bool | None = None
    known_until: datetime | None = None


def most_events(roots: Sequence[ir.Node], most: int) -> int:
    """Return how many events of a contact may be looked at, so that a rule of many or nested lists is bounded too."""
    depths = [depth for root in roots for depth in _depths(root, 1)]
    if not depths:
        return most
    share = float(WORK / len(depths))
    return max(10, min(most, int(share ** (1 / max(depths)))))


def _depths(node: ir.Node, depth: int, skip: frozenset[int] = frozenset()) -> list[int]:
    if id(node) in skip:
        return []
    is_list = isinstance(node, ir.Count | ir.Quantified | ir.Aggregate)
    found = [depth] if is_list else []
    for child in node.children():
        found += _depths(child, depth + 1 if is_list else depth, skip)
    return found


def outlook(
    interpreter: Interpreter,
    root: ir.Node,
    view: View,
    now: datetime,
    *,
    others: Mapping[str, ir.Node] | None = None,
    known_until: datetime | None = None,
    most_steps: int = MOST_STEPS,
) -> Outlook:
    """Return when time alone first turns the outcome of a rule after ``now``.

    others: rules of the segments that the rule names, directly or not, by name, each after those that it names: their
    membership is taken as stored until their rules are evaluated next, as the service does; a segment that is not
    among them keeps it. known_until: an instant from which the answers of plugins may be others.
    """
    now = check_now(now)
    others = others or {}
    roots = [*others.values(), root]
    sweep = Sweep(interpreter.registry, roots, view, now)
    atoms = list(dict.fromkeys(atom for one in roots for atom in atoms_of(one, skip=sweep.followed)))
    lists = [items for one in roots for items in _lists(one, sweep.followed)]
    types = {items.source.name for items in lists if isinstance(items.source, EventType)}
    fixed, moving = _split(atoms)
    if sum(_choices(atom, view) for atom in fixed) > WORK:
        return Outlook(known_until=now)
    plain = set(_instants(sweep, fixed, types, view, now))
    instants = sorted(plain.union(sweep.instants))
    left = min(most_steps, WORK // _work(roots, sweep.followed, view))
    if any(isinstance(atom, ir.NowCalendar) for atom, _ in moving):
        # A rule that asks for the minute could be followed for ever.
        left = min(left, MOST_TICKS)
    before, at = _truth(sweep, root, view, now), now
    while True:
        following = _following(sweep, instants, moving, view, at)
        if following is None or (known_until is not None and following >= known_until):
            return Outlook(known_until=known_until)
        if left <= 0 or sweep.spent > 3 * WORK:
            return Outlook(known_until=following)
        at = following
        changed = sweep.advance(at)
        if not changed and not moving and at not in plain:
            continue
        left -= 1
        for name, rule in others.items():
            view = _with_membership(view, name, _truth(sweep, rule, view, at) is True)
        value = _truth(sweep, root, view, at)
        if value is not before:
            return Outlook(at, value, known_until)


def _lists(node: ir.Node, skip: frozenset[int]) -> Iterator[ir.ListExpr]:
    if id(node) in skip:
        return
    if isinstance(node, ir.Count | ir.Quantified | ir.Aggregate):
        yield node.items
    for child in node.children():
        yield from _lists(child, skip)


def _work(roots: Sequence[ir.Node], skip: frozenset[int], view: View) -> int:
    """Return roughly what one evaluation of rules costs, in evaluations of items; lists that are followed are free."""
    most = max((len(events) for events in view.events.values()), default=0)
    parts = sum(sum(1 for _ in leaf.children()) + 1 for one in roots for leaf in structure_of(one)[1])
    total = 1 + parts // 4
    for depth in (depth for one in roots for depth in _depths(one, 1, skip)):
        total += int(max(1, most) ** depth)
    return total


def _truth(interpreter: Interpreter, root: ir.Node, view: View, at: datetime) -> bool | None:
    value = interpreter.value(root, view, at)
    return None if value is ERR or value is None else bool(value)


def _with_membership(view: View, name: str, member: bool) -> View:
    if (name in view.profile.segments) is member:
        return view
    segments = view.profile.segments | {name} if member else view.profile.segments - {name}
    return replace(view, profile=replace(view.profile, segments=segments))


def _split(atoms: Sequence[Atom]) -> tuple[list[Atom], list[Atom]]:
    """Part the uses of now into those whose instants never move, and those that read lists or now again."""
    fixed: list[Atom] = []
    moving: list[Atom] = []
    for atom in atoms:
        node = atom[0]
        steady = isinstance(node, ir.NowCompare) and not ir.mentions_now(node.time)
        steady = steady and not any(
            isinstance(part, ir.Count | ir.Quantified | ir.Aggregate | ir.InSegment) for part in node.walk()
        )
        (fixed if steady else moving).append(atom)
    return fixed, moving


def _choices(atom: Atom, view: View) -> int:
    number = 1
    for items in atom[1]:
        if isinstance(items.source, EventType):
            number *= max(1, len(view.events.get(items.source.name, ())))
    return number


def _instants(
    interpreter: Interpreter, fixed: Sequence[Atom], types: set[str], view: View, now: datetime
) -> list[datetime]:
    """Return the instants after now at which an event becomes visible or a steady comparison turns, in order."""
    found = {event.time for name in types for event in view.events.get(name, ())}
    for atom, used in fixed:
        assert isinstance(atom, ir.NowCompare)
        # As of the last instant every event is visible: more instants than needed do no harm.
        for chosen in interpreter.combinations(list(used), view, LAST_CHANGE):
            time = interpreter.value(atom.time, view, now, chosen)
            if time is not None and time is not ERR:
                found.update(flips_of(atom, time))
    return sorted(instant for instant in found if now < instant < LAST_CHANGE)


def _following(
    interpreter: Interpreter, instants: Sequence[datetime], moving: list[Atom], view: View, at: datetime
) -> datetime | None:
    place = bisect_right(instants, at)
    first = [instants[place]] if place < len(instants) else []
    others = [atom for atom in moving if not isinstance(atom[0], ir.NowCalendar)]
    if others:
        candidate = next_candidate(interpreter, others, set(), view, at)
        first += [candidate] if candidate is not None else []
    for asked, _ in moving:
        if isinstance(asked, ir.NowCalendar):
            first += [change[0] for change in islice(changes(at, asked.part, asked.zone, asked.shift), 1)]
    return min(first, default=None)
