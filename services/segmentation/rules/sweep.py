"""Lists of events followed through time: each event is judged again only at the instants at which its own verdict can
change, so that thousands of windows that lapse one after another cost little more than one evaluation.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from services.segmentation.rules import ir
from services.segmentation.rules.interpreter import ERR, Interpreter, SeenEvent, View
from services.segmentation.rules.moments import LAST_CHANGE
from services.segmentation.rules.registry import EventType, Registry
from services.segmentation.rules.timing import atoms_of, flips_of

ListNode = ir.Count | ir.Quantified | ir.Aggregate
Verdict = tuple[Any, Any]
"""Whether an event is kept (None: that is unknown) and what the predicate says of a kept one."""
_OUT: Verdict = (False, False)


def followed(root: ir.Node) -> Iterator[ListNode]:
    """Yield the outermost lists of a rule whose items can be judged one by one."""
    if isinstance(root, ir.Count | ir.Quantified | ir.Aggregate):
        if _is_plain(root):
            yield root
        return
    for child in root.children():
        yield from followed(child)


def _is_plain(node: ListNode) -> bool:
    if not isinstance(node.items.source, EventType):
        return False
    for part in (part for child in node.children() for part in child.walk()):
        if isinstance(part, ir.Count | ir.Quantified | ir.Aggregate | ir.InSegment | ir.NowCalendar):
            return False
        if isinstance(part, ir.Attr) and part.group == "core" and part.name == "age":
            return False
        if isinstance(part, ir.NowCompare) and ir.mentions_now(part.time):
            return False
    return node.items.element is None or not ir.mentions_now(node.items.element)


@dataclass
class _Track:
    """Hold one list: the verdicts on its events at the instant at hand, and what comes."""

    node: ListNode
    events: Sequence[SeenEvent]
    verdicts: list[Verdict] = field(default_factory=list)
    coming: list[tuple[datetime, int, Verdict]] = field(default_factory=list)
    done: int = 0
    spoiled: int = 0
    kept: int = 0
    said: dict[Any, int] = field(default_factory=lambda: {True: 0, False: 0, ERR: 0})

    def put(self, verdict: Verdict, by: int) -> None:
        """Count a verdict in, or out."""
        kept, says = verdict
        if kept is None:
            self.spoiled += by
        elif kept:
            self.kept += by
            self.said[says] += by


class Sweep(Interpreter):
    """Interpret rules at later and later instants, with their plain lists followed.

    spent: elements that were added up or compared; unlike counts, sums are made anew at each change.
    """

    def __init__(self, registry: Registry, roots: Sequence[ir.Node], view: View, now: datetime) -> None:
        super().__init__(registry)
        self._view = view
        self._tracks: list[_Track] = []
        self._values: dict[int, Any] = {}
        self.spent = 0
        for node in (node for root in roots for node in followed(root)):
            if id(node) not in self._values:
                self._tracks.append(self._track(node, now))
                self._values[id(node)] = None
        self.followed = frozenset(self._values)
        self.instants = sorted({instant for track in self._tracks for instant, _, _ in track.coming})
        for track in self._tracks:
            self._values[id(track.node)] = self._value_of(track)

    def advance(self, at: datetime) -> bool:
        """Go on to an instant; returns whether a list has another value."""
        changed = False
        for track in self._tracks:
            before = track.done
            while track.done < len(track.coming) and track.coming[track.done][0] <= at:
                _, index, verdict = track.coming[track.done]
                track.put(track.verdicts[index], -1)
                track.put(verdict, 1)
                track.verdicts[index] = verdict
                track.done += 1
            if track.done > before:
                value = self._value_of(track)
                known = self._values[id(track.node)]
                changed |= value is not known and value != known
                self._values[id(track.node)] = value
        return changed

    def _list(self, node: ListNode, scope: Any) -> Any:
        if id(node) in self._values:
            return self._values[id(node)]
        return super()._list(node, scope)

    def _track(self, node: ListNode, now: datetime) -> _Track:
        assert isinstance(node.items.source, EventType)
        track = _Track(node, self._view.events.get(node.items.source.name, ()))
        atoms = [atom for atom, _ in atoms_of(node) if isinstance(atom, ir.NowCompare)]
        for index, event in enumerate(track.events):
            verdict = self._judged(node, event, now)
            track.verdicts.append(verdict)
            track.put(verdict, 1)
            for at in self._turns(node, atoms, event, now):
                following = self._judged(node, event, at)
                if following != verdict:
                    verdict = following
                    track.coming.append((at, index, verdict))
        track.coming.sort(key=lambda change: change[:2])
        return track

    def _turns(
        self, node: ListNode, atoms: Sequence[ir.NowCompare], event: SeenEvent, now: datetime
    ) -> list[datetime]:
        instants = {event.time}
        for atom in atoms:
            time = self.value(atom.time, self._view, now, _items(node, event))
            if time is not None and time is not ERR:
                instants.update(flips_of(atom, time))
        return sorted(instant for instant in instants if now < instant < LAST_CHANGE)

    def _judged(self, node: ListNode, event: SeenEvent, at: datetime) -> Verdict:
        if event.time > at:
            return _OUT
        items = _items(node, event)
        for step in node.items.steps:
            value = self.value(step.expr, self._view, at, items)
            if value is None or value is ERR:
                return (None, False)
            if step.role == "filter" and not value:
                return _OUT
        if not isinstance(node, ir.Quantified):
            return (True, True)
        value = self.value(node.predicate, self._view, at, items)
        return (True, ERR if value is None else value)

    def _value_of(self, track: _Track) -> Any:
        node = track.node
        if track.spoiled:
            return ERR
        if isinstance(node, ir.Count):
            return track.kept
        if isinstance(node, ir.Aggregate):
            kept = [
                event
                for event, verdict in zip(track.events, track.verdicts, strict=True)
                if verdict[0] is True
            ]
            self.spent += len(kept)
            return self.aggregated(node, self._view, [_items(node, event) for event in kept])
        if node.role == "exists_one":
            return ERR if track.said[ERR] else track.said[True] == 1
        decisive = node.role == "exists"
        if track.said[decisive]:
            return decisive
        return ERR if track.said[ERR] else not decisive


def _items(node: ListNode, event: SeenEvent) -> tuple[Any, ...]:
    return (*(None,) * node.items.var, event)
