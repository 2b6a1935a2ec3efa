"""Whole statements: the members of one rule among everybody, and the verdicts of many rules on a batch of
contacts.
"""

from __future__ import annotations

from collections.abc import Sequence
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
)
from services.segmentation.rules.sql.latest import threshold
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


def rebuild(root: ir.Node, time_zone: str, lookups: Lookups, relation: FromClause = profile) -> Select[Any]:
    """Return ``SELECT contact_id`` of every contact of ``relation`` for which the rule is TRUE; parameter
    ``now``.
    """
    frame = GroupedFrame(time_zone, lookups, relation)
    conditions = []
    for part in root.parts if isinstance(root, ir.And) else (root,):
        semi = _semi_join(part, frame)
        conditions.append(compile_value(part, frame, truth=True) if semi is None else semi)
    return select(relation.c.contact_id).select_from(frame.joined(relation)).where(*conditions)


def undecided(root: ir.Node, time_zone: str, lookups: Lookups, relation: FromClause = profile) -> Select[Any]:
    """Return ``SELECT contact_id`` of every contact of ``relation`` for which the rule is unknown; parameter
    ``now``.
    """
    frame = GroupedFrame(time_zone, lookups, relation)
    unknown = compile_value(root, frame).is_(None)
    return select(relation.c.contact_id).select_from(frame.joined(relation)).where(unknown)


def outcomes(root: ir.Node, time_zone: str, lookups: Lookups) -> Select[Any]:
    """Return ``contact_id, value`` of everybody, ``value`` NULL where the rule is unknown; parameter ``now``."""
    frame = GroupedFrame(time_zone, lookups)
    value = compile_value(root, frame)
    return select(profile.c.contact_id, value.label("value")).select_from(frame.joined(profile))


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
    where = [*visible(event, items.source, frame.now), *kept(items, inner)]
    if predicate is not None:
        where.append(compile_value(predicate, inner, truth=True))
    source: Any = event
    if inner.profile_used and inner.profile_relation is not None:
        own = inner.profile_relation
        source = event.join(own, own.c.contact_id == event.c.contact_id)
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


def everybody(rules: Rules, time_zone: str, lookups: Lookups) -> Select[Any]:
    """Return what ``batch`` does, for all contacts in one pass over profiles and events; parameter ``now``."""
    frame = PassFrame(time_zone, lookups)
    columns = _verdicts(rules, frame)
    return select(profile.c.contact_id, *columns).select_from(frame.joined(profile))


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


def changes(leaves: Sequence[ir.Node], time_zone: str, lookups: Lookups) -> Select[Any]:
    """Return ``contact_id, next_change`` of the contacts for which the leaves will change; parameter ``now``.

    Somebody who has events and no profile may be among them.
    """
    frame = GroupedFrame(time_zone, lookups)
    instants: dict[str, list[Column]] = {}
    others = []
    for leaf in leaves:
        found = timing.apart(leaf, frame)
        if found is None:
            others.append(leaf)
        for name, column in found or ():
            instants.setdefault(name, []).append(column)
    groups = {group.name: group for group in frame.groups.values()}
    parts: list[Select[Any]] = []
    # Few people have events in a window: their groups are read alone, not beside everybody.
    for name, columns in instants.items():
        relation = frame.relation_of(groups[name], alone=True)
        parts.append(
            select(relation.c.contact_id, timing.first_of(columns).label("at")).select_from(relation)
        )
    if types := timing.types_of(leaves):
        frame.arrival(types)
        coming = frame.arrival_select().subquery("arrivals")
        parts.append(select(coming.c.contact_id, timing.first_of([coming.c.occurred_at]).label("at")))
    if others:
        whole = GroupedFrame(time_zone, lookups)
        change = timing.next_change(others, whole, arrivals=False)
        if change is not None:
            everybody = select(profile.c.contact_id, change.label("at"))
            parts.append(everybody.select_from(whole.joined(profile)))
    if not parts:
        nobody = literal_column("NULL::timestamptz", TIME).label("next_change")
        return select(profile.c.contact_id, nobody).where(literal_column("false"))
    if len(parts) == 1:
        only = parts[0].subquery("changes")
        return select(only.c.contact_id, only.c.at.label("next_change")).where(only.c.at.is_not(None))
    several = union_all(*parts).subquery("changes")
    return (
        select(several.c.contact_id, func.min(several.c.at, type_=TIME).label("next_change"))
        .where(several.c.at.is_not(None))
        .group_by(several.c.contact_id)
    )
