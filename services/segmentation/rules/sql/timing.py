"""When time alone can change a leaf: SQL of the earliest such instant of a contact.

An instant counts when it is later than ``now``: an event leaving or entering a window, an event that has not
happened yet becoming visible, a birthday. No change ever comes before the instant given. For the common
shapes (exists and size() of events within one window) it is exact; elsewhere it may turn out to change
nothing: then the rule is evaluated again at that instant, and the next one stored.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from functools import partial
from typing import Any, cast

from sqlalchemy import INTEGER, BigInteger, Interval, and_, case, func, literal_column, select, true
from sqlalchemy.dialects.postgresql import array
from sqlalchemy.sql.elements import ColumnElement
from sqlalchemy.sql.selectable import FromClause

from services.segmentation.rules import ir
from services.segmentation.rules.calendars import PARTS
from services.segmentation.rules.registry import EventType
from services.segmentation.rules.sql.calendar import next_flip, next_flip_of_any, next_tick
from services.segmentation.rules.sql.frames import CorrelatedFrame, GroupedFrame, LateralFrame
from services.segmentation.rules.sql.latest import NEVER, nth_latest, plain_window, threshold
from services.segmentation.rules.sql.lists import ItemFrame, texts_relation, visible
from services.segmentation.rules.sql.scalars import Frame, compile_value
from services.segmentation.rules.sql.values import TIME, interval, text_literal
from services.segmentation.rules.tables import event_table

Column = ColumnElement[Any]
_END: Column = literal_column("'9999-01-01Z'::timestamptz", TIME)
_STEP = timedelta(microseconds=1)
MANY = 3
"""Spans from which on a search is the cheaper way."""
_Path = tuple[tuple[ir.ListExpr, tuple[ir.Node, ...]], ...]


def next_change(
    leaves: Sequence[ir.Node], frame: LateralFrame | GroupedFrame, *, arrivals: bool = True
) -> Column | None:
    """Return the earliest instant after ``now`` at which a leaf can change; None when none of them ever does.

    arrivals: count the coming of events that have not happened yet.
    """
    instants: dict[object, Column] = {}
    ends = _Ends()
    types = types_of(leaves) if arrivals else []
    for leaf in leaves:
        exact = _calendar_flip(leaf, frame)
        if exact is not None:
            instants[leaf] = exact
            continue
        ranked = _of_threshold(leaf, frame)
        if ranked is not None:
            if len(ranked) == 1:
                ends.of_time(*ranked[0])
            elif ranked:
                instants[leaf] = _first_known(ranked, frame)
            continue
        for atom, path in _atoms(leaf, ()):
            of_events = _behind(atom, path)
            if of_events is not None:
                ends.of_events(*of_events)
                continue
            key = (atom, () if isinstance(atom, ir.NowCalendar) else path)
            if key not in instants:
                instants[key] = _instant(atom, path, frame)
    instants |= enumerate(ends.columns(frame))
    if types:
        instants["arrival"] = frame.arrival(types)
    return first_of(list(instants.values())) if instants else None


def apart(leaf: ir.Node, frame: GroupedFrame) -> list[tuple[str, Column]] | None:
    """Return the instants of a leaf that is changed by events only, each with the group it reads.

    Nobody without events in a group has its instants. None for a leaf that may change for people without events, or
    whose instants need several groups at once.
    """

    def built(build: Callable[[], Column | None]) -> tuple[Column | None, set[str]]:
        with frame.noting() as names:
            return build(), names

    def exact() -> Column | None:
        ranked = _of_threshold(leaf, frame)
        return None if ranked is None else _first_known(ranked, frame)

    known = built(exact)
    found = [known] if known[0] is not None else []
    if not found:
        if _calendar_flip(leaf, frame) is not None:
            return None
        found = [built(partial(_of_items, atom, path, frame)) for atom, path in _atoms(leaf, ())]
    instants: list[tuple[str, Column]] = []
    for column, groups in found:
        if column is None or len(groups) > 1:
            return None
        # One that reads nothing is NEVER.
        instants += [(name, column) for name in groups]
    return instants


def types_of(leaves: Sequence[ir.Node]) -> list[str]:
    """Return the types of event that leaves read."""
    return sorted(
        {
            items.source.name
            for leaf in leaves
            for _, items in ir.lists_in(leaf)
            if isinstance(items.source, EventType)
        }
    )


def first_of(instants: Sequence[Column]) -> Column:
    """Return the earliest of some instants, NULL when there is none: what lies beyond the end counts as never."""
    return func.nullif(func.least(*instants, _END, type_=TIME), _END, type_=TIME)


def _atoms(node: ir.Node, path: _Path) -> Iterator[tuple[ir.Node, _Path]]:
    """Yield each use of now (or of the age) with the lists it is inside of and their conditions that do not
    use now.
    """
    if isinstance(node, ir.NowCompare | ir.NowCalendar) or (
        isinstance(node, ir.Attr) and node.group == "core" and node.name == "age"
    ):
        yield node, path
    if isinstance(node, ir.Count | ir.Quantified | ir.Aggregate):
        conditions = [s.expr for s in node.items.steps if s.role == "filter"]
        if isinstance(node, ir.Quantified) and node.role != "all":
            conditions.append(node.predicate)
        still = tuple(
            part
            for condition in conditions
            for part in (condition.parts if isinstance(condition, ir.And) else (condition,))
            if not ir.mentions_now(part) and not any(ir.lists_in(part))
        )
        path = (*path, (node.items, still))
    for child in node.children():
        yield from _atoms(child, path)


def _flips(atom: ir.NowCompare) -> list[timedelta]:
    """Return how long after its time ``now op time + shift`` changes."""
    at = (
        [timedelta(0)]
        if atom.op in ("<", ">=")
        else [_STEP]
        if atom.op in ("<=", ">")
        else [timedelta(0), _STEP]
    )
    return [atom.shift + extra for extra in at]


def _later(time: Column, after: list[timedelta], frame: Frame) -> Column:
    """Return the earliest instant later than now that lies so long after a time."""
    # The time is compared, not the instant: what stands beside it is computed once a statement.
    return _least([case((time > frame.once(frame.now - interval(by)), time + interval(by))) for by in after])


def _soonest(time: Column, after: Iterable[timedelta], frame: Frame) -> Column:
    """Return what ``_later`` does, of many spans by a search instead of one comparison each."""
    spans = sorted(set(after), reverse=True)
    if len(spans) < MANY:
        return _later(time, spans, frame)
    # The shorter ago it was, the more of the spans are still to end; the shortest of these comes first. A bound is the
    # oldest time whose span ends later than now.
    bounds: Column = array([frame.now - interval(span - _STEP) for span in spans], type_=TIME)
    lengths: Column = array([interval(span) for span in spans], type_=Interval())
    still: Column = func.width_bucket(time, frame.once(bounds), type_=INTEGER)
    return time + lengths[still]


@dataclass
class _Ends:
    """Collect spans after times, so that all windows of one time, or of the same events, are answered at once."""

    times: dict[str, tuple[Column, set[timedelta]]] = field(default_factory=dict)
    events: dict[tuple[EventType, tuple[ir.Node, ...]], set[timedelta]] = field(default_factory=dict)

    def of_time(self, time: Column, span: timedelta) -> None:
        """Add the end of a span after a time."""
        self.times.setdefault(str(time), (time, set()))[1].add(span)

    def of_events(self, source: EventType, still: tuple[ir.Node, ...], spans: Iterable[timedelta]) -> None:
        """Add the first end of spans after the events that meet conditions."""
        self.events.setdefault((source, still), set()).update(spans)

    def columns(self, frame: LateralFrame | GroupedFrame) -> list[Column]:
        """Return the first instant of each."""
        found = [_soonest(time, spans, frame) for time, spans in self.times.values()]
        return found + [_of_events(*of, sorted(spans), frame) for of, spans in self.events.items()]


def _least(instants: list[Column]) -> Column:
    return func.least(*instants, type_=TIME) if len(instants) > 1 else instants[0]


def _instant(atom: ir.Node, path: _Path, frame: LateralFrame | GroupedFrame) -> Column:
    if isinstance(atom, ir.NowCalendar):
        return next_tick(atom, frame.now)
    plain = CorrelatedFrame(frame.time_zone, frame.lookups, frame.relation)
    if not isinstance(atom, ir.NowCompare):
        return _birthday(plain)
    used = [items for items, _ in path if ir.uses_var(atom.time, items.var)]
    if not used:
        # Lists below the time are bound deeper than at the root when the atom stands inside a list.
        time = compile_value(atom.time, plain if path else frame)
        return _later(time, _flips(atom), frame)
    of_items = _of_items(atom, path, frame)
    return _correlated(atom, used, plain) if of_items is None else of_items


def _of_items(atom: ir.Node, path: _Path, frame: LateralFrame | GroupedFrame) -> Column | None:
    """Return the instant of a use of now about the events of one list at the root; None when it is no such thing."""
    if not isinstance(atom, ir.NowCompare):
        return None
    used = [(items, still) for items, still in path if ir.uses_var(atom.time, items.var)]
    if not used:
        return None
    items, still = used[0]
    if not isinstance(items.source, EventType) or items.var != 0 or len(path) != 1:
        return None
    behind = _behind(atom, path)
    if behind is not None:
        return _of_events(*behind, frame)

    def build(inner: ItemFrame) -> Column:
        earliest = func.min(_later(compile_value(atom.time, inner), _flips(atom), inner))
        return earliest.filter(and_(*_not_false(still, inner))) if still else earliest

    return frame.feature(items.source, (atom, still, "change"), None, build, NEVER)


def _behind(atom: ir.Node, path: _Path) -> tuple[EventType, tuple[ir.Node, ...], Sequence[timedelta]] | None:
    """Read a use of now as spans after the events of one list at the root, given by type and conditions; else None."""
    if not isinstance(atom, ir.NowCompare) or not isinstance(atom.time, ir.EventTime) or len(path) != 1:
        return None
    items, still = path[0]
    if not isinstance(items.source, EventType) or items.var != 0 or atom.time.var != items.var:
        return None
    return items.source, still, _flips(atom)


def _not_false(conditions: Sequence[ir.Node], inner: ItemFrame) -> list[Column]:
    # A condition that is unknown may still count: only what is false drops an event.
    return [compile_value(c, inner).is_not(False) for c in conditions]


def _of_events(
    source: EventType,
    still: tuple[ir.Node, ...],
    spans: Sequence[timedelta],
    frame: LateralFrame | GroupedFrame,
) -> Column:
    """Return the first instant later than now that lies one of some spans after an event that meets conditions."""
    if len(spans) < MANY:
        return _least([_first_behind(source, still, span, frame) for span in spans])

    def build(inner: ItemFrame) -> Column:
        soonest = func.min(_soonest(inner.relation.c.occurred_at, spans, inner))
        return soonest.filter(and_(*_not_false(still, inner))) if still else soonest

    return frame.feature(source, (still, tuple(spans), "soonest"), max(spans), build, NEVER)


def _first_behind(
    source: EventType, still: tuple[ir.Node, ...], by: timedelta, frame: LateralFrame | GroupedFrame
) -> Column:
    def build(inner: ItemFrame) -> Column:
        time = inner.relation.c.occurred_at
        later = time > inner.once(inner.now - interval(by))
        return func.min(time).filter(and_(later, *_not_false(still, inner)))

    return frame.feature(source, (still, by, "first behind"), by, build, NEVER) + interval(by)


def _correlated(atom: ir.NowCompare, lists: list[ir.ListExpr], plain: CorrelatedFrame) -> Column:
    """Take the earliest instant over all combinations of the items the atom reads."""
    frame: Frame = plain
    relations: list[FromClause] = []
    where: list[Column] = []
    for items in lists:
        if isinstance(items.source, EventType):
            relation: FromClause = event_table.alias()
            where.append(relation.c.contact_id == plain.contact_id())
            where += visible(relation, items.source, plain.now)
        else:
            relation = texts_relation(items.source, plain)
        frame = ItemFrame(frame, items.var, relation)
        relations.append(relation)
    source = relations[0]
    for relation in relations[1:]:
        source = source.join(relation, true())
    instant = _later(compile_value(atom.time, frame), _flips(atom), frame)
    return (
        select(func.min(instant))
        .select_from(source)
        .where(*where)
        .correlate_except(*relations)
        .scalar_subquery()
    )


def _birthday(plain: CorrelatedFrame) -> Column:
    """Return the next instant at which ``contact.age`` changes."""
    instant: Column = func.rule_birthday_instant(
        plain.profile().c.birth_date, plain.now, text_literal(plain.time_zone), type_=TIME
    )
    return instant


# -- exact instants of the common shapes
# ------------------------------------------------------------------------------


_Ranked = list[tuple[Column, timedelta]]
"""Times with a span after each, the first of which that is known counts."""


def _of_threshold(leaf: ir.Node, frame: LateralFrame | GroupedFrame) -> _Ranked | None:
    """Return what ends ``exists`` or ``size() op n`` over one window that events only leave, exactly; else None."""
    asked = threshold(leaf)
    if asked is not None:
        return _nth_leaving(asked.items, asked.predicate, [asked.at_least], frame)
    if not isinstance(leaf, ir.Equal):
        return None
    count, constant = (leaf.left, leaf.right) if isinstance(leaf.left, ir.Count) else (leaf.right, leaf.left)
    if not isinstance(count, ir.Count) or not isinstance(constant, ir.Const):
        return None
    n = constant.value
    if not isinstance(n, int):
        return None
    # Above n it becomes n when the (n+1)-th latest leaves; at n it ends when the n-th latest does.
    return _nth_leaving(count.items, None, [n + 1, n], frame)


def _first_known(ranked: _Ranked, frame: Frame) -> Column:
    # One that has left the window already has left before now.
    picked = [_later(time, [span], frame) for time, span in ranked]
    if not picked:
        return NEVER
    return func.coalesce(*picked, type_=TIME) if len(picked) > 1 else picked[0]


def _calendar_flip(leaf: ir.Node, frame: LateralFrame | GroupedFrame) -> Column | None:
    """Return when ``now.getDate() == x`` and its like change: twice a month, not every day."""
    if isinstance(leaf, ir.InValues):
        values = [v for v in leaf.values if isinstance(v, int)]
        if not _is_listed(leaf.operand) or not values:
            return None
        return next_flip_of_any(cast(ir.NowCalendar, leaf.operand), frame.now, values)
    if not isinstance(leaf, ir.Compare | ir.Equal):
        return None
    asked, other = leaf.left, leaf.right
    op: str = leaf.op if isinstance(leaf, ir.Compare) else "=="
    if isinstance(other, ir.NowCalendar):
        asked, other, op = other, asked, {"<": ">", "<=": ">=", ">": "<", ">=": "<="}.get(op, op)
    if not _is_listed(asked) or other.kind != "int" or ir.mentions_now(other):
        return None
    value = compile_value(other, frame)
    if op in (">", "<="):
        # More than x is x + 1 at least; beyond the largest x there is nothing, whatever is added.
        more = func.least(value, literal_column("1000000000"), type_=BigInteger()) + literal_column("1")
        value = case((value.is_not(None), more))
    return next_flip(cast(ir.NowCalendar, asked), frame.now, value, ordered=op != "==")


def _is_listed(node: ir.Node) -> bool:
    """Tell whether a node is a calendar value of now of which there are few."""
    return isinstance(node, ir.NowCalendar) and PARTS[node.part].size is not None


def _nth_leaving(
    items: ir.ListExpr, predicate: ir.Node | None, ranks: list[int], frame: LateralFrame | GroupedFrame
) -> _Ranked | None:
    """Return the latest but n-1 with the window that it leaves, for each of the ranks that has one."""
    window = plain_window(items, predicate)
    if window is None:
        return None
    times = [nth_latest(items, predicate, rank, frame) for rank in ranks]
    return [(time, _flips(window)[0]) for time in times if time is not None]
