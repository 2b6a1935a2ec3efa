"""Whole statements: the members of one rule among everybody, and the verdicts of many rules on a batch of
contacts.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import (
    ARRAY,
    Integer,
    Select,
    Uuid,
    bindparam,
    case,
    exists,
    func,
    literal_column,
    not_,
    select,
    union_all,
)
from sqlalchemy.dialects.postgresql import array
from sqlalchemy.sql.elements import ColumnElement
from sqlalchemy.sql.selectable import FromClause

from services.segmentation.rules import ir
from services.segmentation.rules.registry import EventType
from services.segmentation.rules.sql import timing
from services.segmentation.rules.sql.frames import (
    CorrelatedFrame,
    GroupedFrame,
    LateralFrame,
    Lookups,
    PassFrame,
    Span,
)
from services.segmentation.rules.sql.latest import reached_by, threshold
from services.segmentation.rules.sql.lists import ItemFrame, kept, visible
from services.segmentation.rules.sql.scalars import compile_value
from services.segmentation.rules.sql.values import TIME
from services.segmentation.rules.tables import event_table, profile

Column = ColumnElement[Any]


def condition(root: ir.Node, time_zone: str, lookups: Lookups, relation: FromClause = profile) -> Column:
    """Return a condition on ``relation`` (a profile table or alias) that is TRUE for the members."""
    return compile_value(root, CorrelatedFrame(time_zone, lookups, relation), truth=True)


def values(nodes: Sequence[ir.Node], time_zone: str, lookups: Lookups, relation: FromClause) -> Select[Any]:
    """Return ``SELECT contact_id`` and the values of parts of a rule for the contacts of ``relation``."""
    frame = CorrelatedFrame(time_zone, lookups, relation)
    columns = (compile_value(node, frame).label(f"v{number}") for number, node in enumerate(nodes))
    return select(relation.c.contact_id, *columns)


@dataclass(frozen=True)
class Sweep:
    """Hold what a rebuild asks of everybody, to be put into one statement, which then makes once what both read.

    members: ``SELECT contact_id`` of every contact for which the rule is TRUE. changes: ``SELECT contact_id,
    next_change`` of those for whom time alone will change a leaf; None when there is no such leaf. Parameter ``now``.
    """

    members: Select[Any]
    changes: Select[Any] | None


def sweep(
    root: ir.Node,
    leaves: Sequence[ir.Node],
    time_zone: str,
    lookups: Lookups,
    relation: FromClause = profile,
    span: Span | None = None,
) -> Sweep:
    """Return what there is to ask of the contacts of ``relation`` within a span."""
    frame = GroupedFrame(time_zone, lookups, relation, span)
    # A group is made when all of its columns are known.
    with frame.noting() as read_by_members:
        members = _members(root, frame)
    if not leaves:
        return Sweep(members(), None)
    with frame.noting() as read_by_changes:
        changed = _changes(leaves, frame)
    frame.made_once = read_by_members & read_by_changes
    return Sweep(members(), changed())


def _members(root: ir.Node, frame: GroupedFrame) -> Callable[[], Select[Any]]:
    people = frame.relation
    conditions: list[Column] = []
    of_groups: list[Callable[[], Column]] = []
    joined: set[str] = set()
    for part in root.parts if isinstance(root, ir.And) else (root,):
        in_group = _in_group(part, frame)
        if in_group is not None:
            of_groups.append(in_group)
            continue
        semi = _semi_join(part, frame)
        if semi is not None:
            conditions.append(semi)
            continue
        with frame.noting() as names:
            conditions.append(compile_value(part, frame, truth=True))
        joined |= names

    def build() -> Select[Any]:
        where = [*conditions, *(made() for made in of_groups), *frame.within(people.c.contact_id)]
        return select(people.c.contact_id).select_from(frame.joined(people, joined)).where(*where)

    return build


def undecided(
    root: ir.Node,
    time_zone: str,
    lookups: Lookups,
    relation: FromClause = profile,
    span: Span | None = None,
) -> Select[Any]:
    """Return ``SELECT contact_id`` of every contact of ``relation`` for which the rule is unknown; parameter
    ``now``.
    """
    frame = GroupedFrame(time_zone, lookups, relation, span)
    unknown = compile_value(root, frame).is_(None)
    people = select(relation.c.contact_id).select_from(frame.joined(relation))
    return people.where(unknown, *frame.within(relation.c.contact_id))


def outcomes(root: ir.Node, time_zone: str, lookups: Lookups) -> Select[Any]:
    """Return ``contact_id, value`` of everybody, ``value`` NULL where the rule is unknown; parameter ``now``."""
    frame = GroupedFrame(time_zone, lookups)
    value = compile_value(root, frame)
    return select(profile.c.contact_id, value.label("value")).select_from(frame.joined(profile))


def _in_group(part: ir.Node, frame: GroupedFrame) -> Callable[[], Column] | None:
    """Return what builds a conjunct about a plain window as a semi- or anti-join with the group that also says when it
    ends; None when it is no such thing.
    """
    negated = isinstance(part, ir.Not)
    asked = threshold(part.operand if isinstance(part, ir.Not) else part)
    if asked is None:
        return None
    with frame.noting() as names:
        reached = reached_by(asked, frame)
    if reached is None:
        return None
    (name,) = names
    people = frame.relation

    def build() -> Column:
        group = frame.relation_of(name)
        if negated == asked.below:
            return people.c.contact_id.in_(select(group.c.contact_id).where(reached))
        found: Select[Any] = (
            select(literal_column("1"))
            .select_from(group)
            .where(group.c.contact_id == people.c.contact_id, reached)
        )
        return not_(found.correlate_except(group).exists())

    return build


def _semi_join(part: ir.Node, frame: GroupedFrame) -> Column | None:
    """Return a conjunct about events as a semi- or anti-join; None where the list may be unknown or it is no
    such form.
    """
    negated = isinstance(part, ir.Not)
    asked = threshold(part.operand if isinstance(part, ir.Not) else part)
    if asked is None:
        return None
    at_least, items, predicate = asked.at_least, asked.items, asked.predicate
    negated = negated != asked.below
    if items.spoils or at_least < 1 or not isinstance(items.source, EventType):
        return None
    people = frame.relation
    event = event_table.alias()
    inner = ItemFrame(frame, items.var, event, profile_relation=people.alias())
    where = [
        *visible(event, items.source, frame.now),
        *kept(items, inner),
        *frame.within(event.c.contact_id),
    ]
    if predicate is not None:
        where.append(compile_value(predicate, inner, truth=True))
    source: Any = event
    if inner.profile_used and inner.profile_relation is not None:
        own = inner.profile_relation
        source = event.join(own, own.c.contact_id == event.c.contact_id)
        where += frame.within(own.c.contact_id)
    who = select(event.c.contact_id).select_from(source).where(*where)
    if at_least > 1:
        who = who.group_by(event.c.contact_id).having(
            func.count(literal_column("*")) >= literal_column(str(at_least))
        )
    if not negated:
        return people.c.contact_id.in_(who)
    if at_least == 1:
        return not_(exists(who.where(event.c.contact_id == people.c.contact_id).correlate(people)))
    many = who.subquery()
    found: Select[Any] = (
        select(literal_column("1")).select_from(many).where(many.c.contact_id == people.c.contact_id)
    )
    return not_(found.correlate_except(many).exists())


Rules = Sequence[tuple[int, ir.Node, Sequence[ir.Node]]]
"""Segment number, tree and time-dependent leaves of each rule."""


def batch(rules: Rules, time_zone: str, lookups: Lookups) -> Select[Any]:
    """Return ``contact_id, segments int[], next_change`` for the contacts of parameter ``contact_ids``;
    parameter ``now``. A contact without a profile has no row.
    """
    frame = LateralFrame(time_zone, lookups)
    columns = _verdicts(rules, frame)
    wanted = (
        func.unnest(bindparam("contact_ids", type_=ARRAY(Uuid())))
        .table_valued("contact_id")
        .render_derived(name="wanted")
    )
    source = frame.joined(profile.join(wanted, profile.c.contact_id == wanted.c.contact_id))
    return select(profile.c.contact_id, *columns).select_from(source)


def everybody(rules: Rules, time_zone: str, lookups: Lookups, span: Span | None = None) -> Select[Any]:
    """Return what ``batch`` does, for the contacts of a span in one pass; parameters as for ``sweep``."""
    frame = PassFrame(time_zone, lookups, span=span)
    columns = _verdicts(rules, frame)
    people = select(profile.c.contact_id, *columns).select_from(frame.joined(profile))
    return people.where(*frame.within(profile.c.contact_id))


def _verdicts(rules: Rules, frame: LateralFrame | PassFrame) -> list[Column]:
    verdicts = [
        case((compile_value(root, frame, truth=True), literal_column(str(int(number)))))
        for number, root, _ in rules
    ]
    changes = timing.next_change([leaf for _, _, leaves in rules for leaf in leaves], frame)
    listed: Column = literal_column("ARRAY[]::integer[]", ARRAY(Integer))
    if verdicts:
        chosen: Column = array(verdicts, type_=Integer())
        listed = func.array_remove(chosen, literal_column("NULL"), type_=ARRAY(Integer))
    change = literal_column("NULL::timestamptz", TIME) if changes is None else changes
    return [listed.label("segments"), change.label("next_change")]


def _changes(leaves: Sequence[ir.Node], frame: GroupedFrame) -> Callable[[], Select[Any]]:
    """Return what builds ``SELECT contact_id, next_change`` of the contacts for which the leaves will change.

    Somebody who has events and no profile may be among them.
    """
    instants: dict[str, list[Column]] = {}
    others = []
    for leaf in leaves:
        found = timing.apart(leaf, frame)
        if found is None:
            others.append(leaf)
        for name, column in found or ():
            instants.setdefault(name, []).append(column)
    with frame.noting() as joined:
        change = timing.next_change(others, frame, arrivals=False) if others else None
    if types := timing.types_of(leaves):
        frame.arrival(types)

    def build() -> Select[Any]:
        parts: list[Select[Any]] = []
        # Few people have events in a window: their groups are read alone, not beside everybody.
        for name, columns in instants.items():
            group = frame.relation_of(name, alone=True)
            parts.append(select(group.c.contact_id, timing.first_of(columns).label("at")).select_from(group))
        if types:
            coming = frame.arrival_select().subquery("arrivals")
            parts.append(select(coming.c.contact_id, timing.first_of([coming.c.occurred_at]).label("at")))
        if change is not None:
            everybody = select(profile.c.contact_id, change.label("at"))
            joint = frame.joined(profile, joined)
            parts.append(everybody.select_from(joint).where(*frame.within(profile.c.contact_id)))
        return _first_of_each(parts)

    return build


NOBODY = select(profile.c.contact_id, literal_column("NULL::timestamptz", TIME).label("next_change")).where(
    literal_column("false")
)


def _first_of_each(parts: Sequence[Select[Any]]) -> Select[Any]:
    if not parts:
        return NOBODY
    if len(parts) == 1:
        only = parts[0].subquery("changes")
        return select(only.c.contact_id, only.c.at.label("next_change")).where(only.c.at.is_not(None))
    several = union_all(*parts).subquery("changes")
    return (
        select(several.c.contact_id, func.min(several.c.at, type_=TIME).label("next_change"))
        .where(several.c.at.is_not(None))
        .group_by(several.c.contact_id)
    )
