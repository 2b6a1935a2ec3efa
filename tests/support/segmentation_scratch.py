"""What memberships and their schedule must be, computed from profiles, events and lists alone."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy import Connection

from services.segmentation.domain import ActiveRule
from services.segmentation.rules import CompiledRule
from services.segmentation.rules.tables import profile
from services.segmentation.store import segments
from services.segmentation.usecases.answers import Answers, ask, fill
from services.segmentation.usecases.rebuilding import compile_stored
from tests.support.segmentation import World

_MEMBERS = sa.table(
    "members_from_scratch", sa.column("segment_number", sa.Integer()), sa.column("contact_id", sa.Uuid())
)


def agrees_with_scratch(seg: World) -> None:
    """Check that all is as if every rule in force were evaluated now for the first time, and was told and kept.

    Nobody may be due. Then a rebuild must find nothing to change.
    """
    due = seg.query("SELECT contact_id FROM contact_state WHERE next_change <= :now", now=seg.clock.now())
    assert not due, "somebody is due"
    _check_sums(seg)
    members = seg.everybody()
    scratch = from_scratch(seg)
    assert members == scratch.members, "members are others"
    before = next_changes(seg)
    for key, latest in scratch.next_changes.items():
        # SQL may give an early instant, and one from before may stand; nobody may be evaluated too late.
        at = before[key]
        assert at is not None, f"{key} is never due, but something changes at {latest}"
        assert at <= latest, f"{key} is due at {at}, but something changes at {latest}"
    assert seg.sizes() == {id_: len(found) for id_, found in members.items()}
    _check_told(seg, members)
    seg.rebuild()
    assert seg.everybody() == members
    # A rebuild may only bring changes forward; were one earlier than what was stored, a contact would be late.
    assert next_changes(seg) == before


@dataclass(frozen=True)
class Scratch:
    """Hold the members of each segment, and when something about a contact changes by time, for whom it does."""

    members: dict[str, set[UUID]]
    next_changes: dict[UUID, datetime]


def from_scratch(seg: World) -> Scratch:
    """Evaluate the rules in force one by one, each after those that it names, without a look at stored members of any.

    Lists have no rule: their members are given.
    """
    now = {"now": seg.clock.now()}
    with seg.db.engine.connect() as connection:
        try:
            connection.exec_driver_sql(
                "CREATE TEMPORARY TABLE members_from_scratch (segment_number int, contact_id uuid) ON COMMIT DROP"
            )
            connection.exec_driver_sql(
                "INSERT INTO members_from_scratch SELECT m.segment_number, m.contact_id "
                "FROM membership AS m JOIN segment AS s ON s.number = m.segment_number WHERE s.kind = 'list'"
            )
            contacts = list(connection.execute(sa.select(profile.c.contact_id)).scalars())
            instants: list[tuple[UUID, datetime]] = []
            for rule in _ordered(segments.active_rules(connection)):
                compiled = compile_stored(seg.service, connection, rule)
                answers = _asked(seg, connection, compiled, contacts)
                instants += answers.next_changes()
                found = connection.execute(compiled.select_from(profile, _MEMBERS), now).scalars()
                if rows := [{"segment_number": rule.number, "contact_id": key} for key in found]:
                    connection.execute(sa.insert(_MEMBERS), rows)
                instants += [tuple(row) for row in connection.execute(compiled.next_change_select, now)]
            members: dict[str, set[UUID]] = {id_: set() for id_ in segments.numbers(connection)}
            query = (
                "SELECT s.id, f.contact_id FROM members_from_scratch AS f "
                "JOIN segment AS s ON s.number = f.segment_number"
            )
            for id_, key in connection.exec_driver_sql(query):
                members[id_].add(key)
        finally:
            connection.rollback()
    known = set(contacts)
    changes: dict[UUID, datetime] = {}
    for key, at in instants:
        if key in known:
            changes[key] = min(at, changes.get(key, at))
    return Scratch(members, changes)


def _ordered(rules: Iterable[ActiveRule]) -> list[ActiveRule]:
    waiting = {rule.id: rule for rule in rules}
    ordered: list[ActiveRule] = []
    while waiting:
        ready = [rule for rule in waiting.values() if not waiting.keys() & set(rule.depends)]
        assert ready, f"the rules of {sorted(waiting)} name each other in a circle"
        ordered += ready
        for rule in ready:
            del waiting[rule.id]
    return ordered


def _asked(seg: World, connection: Connection, compiled: CompiledRule, contacts: list[UUID]) -> Answers:
    """Put what plugins say of everybody where the rule reads it."""
    calls = [(call.function, call.params) for call in compiled.plugin_calls]
    answers = ask(seg.service, connection, calls, contacts, seg.clock.now())
    assert not answers.failed
    fill(connection, compiled.plugin_calls, answers)
    return answers


def next_changes(seg: World) -> dict[UUID, datetime | None]:
    """Return when each known contact is due."""
    query = (
        "SELECT p.contact_id, s.next_change FROM profile AS p LEFT JOIN contact_state AS s USING (contact_id)"
    )
    with seg.db.read() as connection:
        return {row.contact_id: row.next_change for row in connection.execute(sa.text(query))}


def _check_sums(seg: World) -> None:
    """Check that profiles sum up the orders that are there."""
    wrong = seg.query(
        "SELECT p.contact_id FROM profile AS p LEFT JOIN ("
        "  SELECT contact_id, count(*) AS orders, coalesce(sum(amount), 0) AS spent, min(occurred_at) AS first,"
        "         max(occurred_at) AS last"
        "  FROM event WHERE type = 'order.placed' GROUP BY contact_id"
        ") AS o USING (contact_id) WHERE (p.order_count, p.total_spent, p.first_order_time, p.last_order_time) "
        "IS DISTINCT FROM (coalesce(o.orders, 0), coalesce(o.spent, 0), o.first, o.last)"
    )
    assert not wrong, "the sums of a profile are not those of its orders"


def _check_told(seg: World, members: dict[str, set[UUID]]) -> None:
    """Check that each entry and exit was told once, and that history kept each member that left."""
    replayed: dict[str, set[UUID]] = {id_: set() for id_ in members}
    left: Counter[tuple[str, UUID]] = Counter()
    for type_, id_, key, _ in seg.told():
        inside = replayed.setdefault(id_, set())
        if type_ == "segment.entered":
            assert key not in inside, f"{key} entered {id_} twice"
            inside.add(key)
        else:
            assert key in inside, f"{key} left {id_} without being in it"
            inside.remove(key)
            left[id_, key] += 1
    ended = {id_: found for id_, found in replayed.items() if found or id_ in members}
    assert ended == members, "other members are told"
    with seg.db.read() as connection:
        known = set(connection.execute(sa.select(profile.c.contact_id)).scalars())
        query = (
            "SELECT s.id, p.contact_id FROM membership_past AS p "
            "JOIN (SELECT number, id FROM segment UNION ALL SELECT number, id FROM segment_past) AS s "
            "ON s.number = p.segment_number"
        )
        kept: Counter[Any] = Counter(tuple(row) for row in connection.execute(sa.text(query)))
    # Of whom is erased or merged nothing need be kept.
    assert {pair: n for pair, n in kept.items() if pair[1] in known} == {
        pair: n for pair, n in left.items() if pair[1] in known
    }, "history lacks members that left"
