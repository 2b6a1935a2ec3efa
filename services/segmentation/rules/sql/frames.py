"""Root frames: the ways to answer the lists of a rule about many contacts.

``CorrelatedFrame`` asks per contact by sub-selects (filters on a list call), ``LateralFrame`` reads the
events of a contact once per type (increments), ``GroupedFrame`` groups the events of everybody and joins
(rebuilds), and ``PassFrame`` does so for many rules at once.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

from sqlalchemy import CTE, Select, Subquery, Uuid, bindparam, case, func, literal_column, or_, select, true
from sqlalchemy.sql.elements import ColumnElement
from sqlalchemy.sql.selectable import FromClause

from services.segmentation.rules import ir
from services.segmentation.rules.registry import EventType
from services.segmentation.rules.sql.latest import NEVER, windowed
from services.segmentation.rules.sql.lists import (
    ItemFrame,
    ListNode,
    aggregate,
    correlated,
    empty_value,
    visible,
    window_of,
)
from services.segmentation.rules.sql.scalars import compile_value
from services.segmentation.rules.sql.values import TIME, computed_once, interval, text_literal
from services.segmentation.rules.tables import event_table, membership, plugin_leaf, profile

Column = ColumnElement[Any]

NOW = bindparam("now", type_=TIME)
"""The instant of evaluation; every statement of this package takes it as the parameter ``now``."""


@dataclass(frozen=True)
class Span:
    """Say of which contacts a statement over everybody is: those with ids from one to another, both included."""

    first: Column
    last: Column

    def holds(self, contact_id: Column) -> Column:
        """Return whether a contact is one of them."""
        return contact_id.between(self.first, self.last)


SPAN = Span(bindparam("first", type_=Uuid()), bindparam("last", type_=Uuid()))
"""Those that each execution says, in the parameters ``first`` and ``last``."""


@dataclass(frozen=True)
class Lookups:
    """Say where segments and plugin answers are found: numbers by segment name, leaf numbers by call."""

    segments: Mapping[str, int]
    leaves: Mapping[tuple[str, tuple[Any, ...]], int]
    plugin_leaf: FromClause = plugin_leaf
    members: FromClause = membership


@dataclass
class CorrelatedFrame:
    """Answer lists by correlated sub-selects; ``relation`` has the columns of the profile table."""

    time_zone: str
    lookups: Lookups
    relation: FromClause = profile
    now: Column = field(default_factory=lambda: NOW)

    def profile(self) -> FromClause:
        """Return the profile."""
        return self.relation

    def contact_id(self) -> Column:
        """Return the contact's id."""
        return self.relation.c.contact_id

    def shared(self, node: ir.Attr, column: Column) -> Column:
        """Return the column itself: a single rule gains nothing by computing it apart."""
        return column

    def once(self, column: Column) -> Column:
        """Return the expression itself: the planner estimates better by what it sees."""
        return column

    def item(self, var: int) -> FromClause:
        """Raise: nothing is bound at the root."""
        raise LookupError(f"nothing is bound at level {var}")

    def list_value(self, node: ListNode) -> Column:
        """Answer a list node."""
        return correlated(node, self)

    def condition(self, node: ir.Node) -> Column | None:
        """Return None: a single rule gains nothing by what rules have in common."""
        return None

    def in_segment(self, segment: str) -> Column:
        """Return whether the contact is a member of a segment."""
        return self.in_segment_of(segment, self.contact_id())

    def in_segment_of(self, segment: str, contact_id: Column) -> Column:
        """Return whether that contact is a member of a segment."""
        member = self.lookups.members.alias()
        number: Column = literal_column(str(int(self.lookups.segments[segment])))
        return (
            select(literal_column("1"))
            .select_from(member)
            .where(
                member.c.segment_number == number,
                member.c.contact_id == contact_id,
                *self.within(member.c.contact_id),
            )
            .correlate_except(member)
            .exists()
        )

    def within(self, contact_id: Column) -> list[Column]:
        """Return the condition that leaves out contacts which the statement is not of, for each table that it reads."""
        return []

    def plugin_value(self, node: ir.PluginValue) -> Column:
        """Return the JSON a plugin answered for the contact; NULL when it did not."""
        return self.plugin_value_of(node, self.contact_id())

    def plugin_value_of(self, node: ir.PluginValue, contact_id: Column) -> Column:
        """Return the JSON a plugin answered for that contact."""
        answers = self.lookups.plugin_leaf.alias()
        number: Column = literal_column(str(self.lookups.leaves[node.function, node.params]))
        return (
            select(answers.c.value)
            .select_from(answers)
            .where(answers.c.leaf_no == number, answers.c.contact_id == contact_id)
            .correlate_except(answers)
            .scalar_subquery()
        )


Build = Callable[[ItemFrame], Column]
MAX_COLUMNS = 1_500
"""Columns of one sub-select; PostgreSQL allows 1,664. More become another pass, so that many long rules never abort a
batch.
"""


@dataclass
class _Group:
    """Aggregates over the events of one type, computed in one pass."""

    event_type: EventType
    frame: ItemFrame
    event: FromClause
    name: str
    columns: dict[object, tuple[str, Column]] = field(default_factory=dict)
    windows: list[timedelta | None] = field(default_factory=list)
    asked: tuple[ir.Node, ...] = ()
    """Conditions that all its events meet."""
    sparse: bool = True
    """Whether a row without any value says what no row says."""

    def lower_bound(self, now: Column) -> list[Column]:
        """Return the condition that leaves out events too old for every aggregate."""
        known = [w for w in self.windows if w is not None]
        if len(known) < len(self.windows) or not known:
            return []
        return [self.event.c.occurred_at >= now - interval(max(known))]


class _GroupingFrame(CorrelatedFrame):
    """Collect list nodes into groups; sub-classes say how a group becomes a relation."""

    by_condition = False

    def __init__(
        self, time_zone: str, lookups: Lookups, relation: FromClause = profile, span: Span | None = None
    ) -> None:
        super().__init__(time_zone, lookups, relation)
        self.span = span
        self.groups: dict[object, _Group] = {}
        self._read_names: set[str] = set()

    @contextmanager
    def noting(self) -> Iterator[set[str]]:
        """Note the names of the groups that are read within the block."""
        before, self._read_names = self._read_names, set()
        try:
            yield self._read_names
        finally:
            before |= self._read_names
            self._read_names = before

    def within(self, contact_id: Column) -> list[Column]:
        """Return the condition that leaves out contacts beyond the span.

        Of each table: what is said of one only is not known of those that it is merged with, which would be read from
        their beginning for each span.
        """
        return [] if self.span is None else [self.span.holds(contact_id)]

    def list_value(self, node: ListNode) -> Column:
        """Answer a list node of events from its group."""
        if isinstance(node.items.source, ir.Attr):
            return correlated(node, self)
        window = window_of(node)
        return self.feature(
            node.items.source, node, window, lambda frame: aggregate(node, frame), empty_value(node)
        )

    def feature(
        self,
        event_type: EventType,
        key: object,
        window: timedelta | None,
        build: Build,
        empty: Column,
        asked: tuple[ir.Node, ...] = (),
    ) -> Column:
        """Return the column of an aggregate, adding it to the group of its event type when it is new.

        asked: conditions that its events meet, when the frame groups ``by_condition``.
        """
        part = 0
        group = self._group(event_type, window, asked, part)
        while key not in group.columns and len(group.columns) >= MAX_COLUMNS:
            part += 1
            group = self._group(event_type, window, asked, part)
        if key not in group.columns:
            group.columns[key] = (f"f{len(group.columns)}", build(group.frame))
        group.windows.append(window)
        group.sparse &= empty is NEVER
        self._read_names.add(group.name)
        return self._read(group, *group.columns[key], empty)

    def _group(
        self, event_type: EventType, window: timedelta | None, asked: tuple[ir.Node, ...], part: int
    ) -> _Group:
        raise NotImplementedError

    def _read(self, group: _Group, name: str, column: Column, empty: Column) -> Column:
        raise NotImplementedError


def _to_come(event: FromClause, types: Sequence[str], now: Column) -> list[Column]:
    return [event.c.type.in_([text_literal(t) for t in types]), event.c.occurred_at > now]


class LateralFrame(_GroupingFrame):
    """Read the events of each contact once per type, in a LATERAL sub-select."""

    def once(self, column: Column) -> Column:
        """Return a sub-select, which is computed once: hundreds of windows are compared with each event."""
        return computed_once(column)

    def condition(self, node: ir.Node) -> Column | None:
        """Answer thresholds over plain windows by what all windows have in common."""
        return windowed(node, self)

    def __init__(self, time_zone: str, lookups: Lookups, relation: FromClause = profile) -> None:
        super().__init__(time_zone, lookups, relation)
        self._shared: dict[ir.Attr, tuple[str, Column]] = {}

    def shared(self, node: ir.Attr, column: Column) -> Column:
        """Compute what is derived from the profile once per contact, however many rules read it."""
        name, _ = self._shared.setdefault(node, (f"d{len(self._shared)}", column))
        return literal_column(f"derived{int(name[1:]) // MAX_COLUMNS}.{name}", column.type)

    def _group(
        self, event_type: EventType, window: timedelta | None, asked: tuple[ir.Node, ...], part: int
    ) -> _Group:
        key = (event_type.name, part)
        if key not in self.groups:
            event = event_table.alias(f"e{len(self.groups)}")
            self.groups[key] = _Group(event_type, ItemFrame(self, 0, event), event, f"g{len(self.groups)}")
        return self.groups[key]

    def _read(self, group: _Group, name: str, column: Column, empty: Column) -> Column:
        # An aggregate without GROUP BY has a row even when there are no events.
        return literal_column(f"{group.name}.{name}", column.type)

    def arrival(self, types: Sequence[str]) -> Column:
        """Return the time of the first event of those types that has not happened yet."""
        event = event_table.alias("a0")
        return (
            select(func.min(event.c.occurred_at))
            .select_from(event)
            .where(event.c.contact_id == self.contact_id(), *_to_come(event, types, self.now))
            .correlate_except(event)
            .scalar_subquery()
        )

    def joined(self, source: Any) -> Any:
        """Join the groups to the relation that holds the profile."""
        labelled = [column.label(name) for name, column in self._shared.values()]
        for start in range(0, len(labelled), MAX_COLUMNS):
            # OFFSET 0 keeps the planner from writing the expressions out at every use again.
            columns = select(*labelled[start : start + MAX_COLUMNS]).correlate(self.relation)
            derived = columns.offset(literal_column("0")).lateral(f"derived{start // MAX_COLUMNS}")
            source = source.join(derived, true())
        for group in self.groups.values():
            inner = (
                select(*(column.label(name) for name, column in group.columns.values()))
                .select_from(group.event)
                .where(
                    group.event.c.contact_id == self.contact_id(),
                    *visible(group.event, group.event_type, self.now),
                    *group.lower_bound(self.now),
                )
                .correlate(self.relation)
                .lateral(group.name)
            )
            source = source.join(inner, true())
        return source


class GroupedFrame(_GroupingFrame):
    """Group the events of everybody by contact; one pass per type, window and what else is asked of them."""

    by_condition = True
    arrivals: tuple[str, ...] = ()
    made_once: Collection[str] = ()
    """The names of the groups that several parts of a statement read: they are made once for all of them."""

    def __init__(
        self, time_zone: str, lookups: Lookups, relation: FromClause = profile, span: Span | None = None
    ) -> None:
        super().__init__(time_zone, lookups, relation, span)
        self._made: dict[str, CTE] = {}

    def _group(
        self, event_type: EventType, window: timedelta | None, asked: tuple[ir.Node, ...], part: int
    ) -> _Group:
        key = (event_type.name, window, asked, part)
        if key not in self.groups:
            number = len(self.groups)
            event = event_table.alias(f"e{number}")
            frame = ItemFrame(self, 0, event, profile_relation=self.relation.alias(f"p{number}"))
            self.groups[key] = _Group(event_type, frame, event, f"g{number}", asked=asked)
        return self.groups[key]

    def _read(self, group: _Group, name: str, column: Column, empty: Column) -> Column:
        value: Column = literal_column(f"{group.name}.{name}", column.type)
        return case((literal_column(f"{group.name}.contact_id").is_(None), empty), else_=value)

    def arrival(self, types: Sequence[str]) -> Column:
        """Return the time of the first event of those types that has not happened yet."""
        self.arrivals = tuple(types)
        return literal_column("arrivals.occurred_at", TIME)

    def joined(self, source: Any, names: Collection[str] | None = None) -> Any:
        """Join the groups to the relation that holds the profile; names: of those that are needed, None for all there
        is.
        """
        if self.arrivals and names is None:
            coming = self.arrival_select().subquery("arrivals")
            source = source.outerjoin(coming, coming.c.contact_id == self.contact_id())
        for group in self.groups.values():
            if names is None or group.name in names:
                inner = self.relation_of(group.name)
                source = source.outerjoin(inner, inner.c.contact_id == self.contact_id())
        return source

    def arrival_select(self) -> Select[Any]:
        """Return ``SELECT contact_id, occurred_at`` of the first event to come of each contact."""
        event = event_table.alias("a0")
        return (
            select(event.c.contact_id, func.min(event.c.occurred_at).label("occurred_at"))
            .where(*_to_come(event, self.arrivals, self.now), *self.within(event.c.contact_id))
            .group_by(event.c.contact_id)
        )

    def relation_of(self, name: str, *, alone: bool = False) -> Subquery | CTE:
        """Return the contacts that have events of a group, with its columns, once it has them all.

        alone: it is joined to nothing, so that conditions on it would be moved inside and compute its columns again.
        """
        if name in self._made:
            return self._made[name]
        (group,) = (group for group in self.groups.values() if group.name == name)
        events: Any = group.event
        within = self.within(group.event.c.contact_id)
        asked = [compile_value(node, group.frame, truth=True) for node in group.asked]
        if group.frame.profile_used:
            own = group.frame.profile_relation
            assert own is not None
            events = events.join(own, own.c.contact_id == group.event.c.contact_id)
            within += self.within(own.c.contact_id)
        columns = list(group.columns.values())
        query = (
            select(group.event.c.contact_id, *(column.label(label) for label, column in columns))
            .select_from(events)
            .where(
                *visible(group.event, group.event_type, self.now),
                *group.lower_bound(self.now),
                *within,
                *asked,
            )
            .group_by(group.event.c.contact_id)
        )
        if name in self.made_once:
            if group.sparse:
                query = query.having(or_(*(column.is_not(None) for _, column in columns)))
            self._made[name] = query.offset(literal_column("0")).cte(name)
            return self._made[name]
        return (query.offset(literal_column("0")) if alone else query).subquery(name)


class PassFrame(GroupedFrame):
    """Group the events of everybody once per type, however many windows ask for them: for many rules in one pass."""

    by_condition = False

    def once(self, column: Column) -> Column:
        """Return a sub-select, which is computed once."""
        return computed_once(column)

    def condition(self, node: ir.Node) -> Column | None:
        """Answer thresholds over plain windows by what all windows have in common."""
        return windowed(node, self)

    def _group(
        self, event_type: EventType, window: timedelta | None, asked: tuple[ir.Node, ...], part: int
    ) -> _Group:
        return super()._group(event_type, None, asked, part)
