"""All engines on the systematic rules: many rules in one statement, on profiles that are stored once."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

from sqlalchemy import Connection, select, text
from sqlalchemy.dialects import postgresql

from services.segmentation.rules import (
    CompiledRule,
    Outcome,
    Profile,
    RuleError,
    batch_statement,
    compile_rule,
    ir,
)
from services.segmentation.rules.sql.frames import CorrelatedFrame, GroupedFrame, Lookups
from services.segmentation.rules.sql.scalars import compile_value
from services.segmentation.rules.tables import metadata, plugin_leaf, profile
from tests.integration.rules import edges, selection, sides, store

REGISTRY, NOW = sides.REGISTRY, sides.NOW
VERDICTS: dict[bool | None, str] = {True: "member", False: "not_member", None: "unknown"}
CHUNK = 40


@dataclass(frozen=True)
class Wanted:
    """What every engine must say of one rule: outcomes by profile, and the first instants of change."""

    text: str
    outcomes: tuple[str, ...]
    changes: tuple[str | None, ...]
    whole: bool = True
    """Whether it is asked by each kind of statement and for its instants; building these one by one takes long."""
    exact: bool = False
    """Whether SQL must give the instants themselves: the shapes that RULES.md calls exact, as in `edges.windows`."""


@dataclass(frozen=True)
class Fault:
    """One disagreement: which rule, who said it, and what."""

    text: str
    engine: str
    wanted: str
    got: str


def prepare(connection: Connection) -> list[UUID]:
    """Make the tables and store the profiles; return their ids."""
    metadata.create_all(connection)
    connection.execute(text("SET timezone = 'UTC'"))
    connection.execute(
        text(
            "CREATE TEMP TABLE IF NOT EXISTS plugin_leaf (leaf_no int, contact_id uuid, value jsonb, "
            "PRIMARY KEY (leaf_no, contact_id))"
        )
    )
    return store.put(connection, REGISTRY, sides.people())


def compiled() -> dict[str, CompiledRule]:
    """Compile all systematic rules; return them by text, those of `edges` first."""
    texts = dict.fromkeys((*edges.windows(), *edges.instants(), *edges.kept(), *selection.chosen()))
    return {text: compile_rule(text, REGISTRY) for text in texts}


def wanted(rules: Mapping[str, CompiledRule], people: Sequence[Profile]) -> list[Wanted]:
    """Ask CEL's evaluator what is wanted of the rules of `compiled` and, for the instants, the plain interpreter."""
    exact = edges.windows()
    whole = {*exact, *edges.instants(), *edges.kept()}
    others = [text for text in rules if text not in whole]
    return [
        *(
            _wanted(text, rules[text], people, whole=True, exact=text in exact)
            for text in rules
            if text in whole
        ),
        *(
            _wanted(text, rules[text], people, whole=number % 8 == 0, exact=False)
            for number, text in enumerate(others)
        ),
    ]


def _wanted(text: str, rule: CompiledRule, people: Sequence[Profile], *, whole: bool, exact: bool) -> Wanted:
    outcomes = tuple(rule.evaluate(p, NOW).value for p in people)
    changes = tuple(_text(rule.next_change(p, NOW)) for p in people) if whole else ()
    return Wanted(text, outcomes, changes, whole, exact)


def _text(instant: datetime | None) -> str | None:
    return None if instant is None else instant.isoformat()


def faults(
    connection: Connection,
    wanted: Sequence[Wanted],
    people: Sequence[Profile],
    ids: Sequence[UUID],
    asked: Mapping[str, CompiledRule] | None = None,
) -> Iterator[Fault]:
    """Yield each disagreement, those of the first rules first.

    asked: the rules, by text, that have said what is wanted, and are not asked that again; None compiles each anew, as
    is needed for an engine with a mistake in it.
    """
    start, size = 0, 10
    while start < len(wanted):
        yield from _chunk(connection, wanted[start : start + size], people, ids, asked)
        start, size = start + size, CHUNK


def _chunk(
    connection: Connection,
    wanted: Sequence[Wanted],
    people: Sequence[Profile],
    ids: Sequence[UUID],
    asked: Mapping[str, CompiledRule] | None,
) -> Iterator[Fault]:
    rules = []
    for want in wanted:
        try:
            rules.append(compile_rule(want.text, REGISTRY) if asked is None else asked[want.text])
        except RuleError as error:
            yield Fault(want.text, "compiler", "accepted", error.message)
            return
    statement = batch_statement(list(enumerate(rules)))
    store.answer(connection, statement.plugin_calls, ids, people)
    leaves = {(c.function, c.params): c.number for c in statement.plugin_calls}
    lookups = Lookups(REGISTRY.segments, leaves, plugin_leaf)
    rows = {
        r.contact_id: r for r in connection.execute(statement.select, {"now": NOW, "contact_ids": list(ids)})
    }
    for number, want in enumerate(wanted):
        members = [
            i for i, outcome in zip(ids, want.outcomes, strict=True) if outcome == Outcome.MEMBER.value
        ]
        found = [i for i in ids if number in rows[i].segments]
        if found != members:
            yield Fault(want.text, "batch", str(members), str(found))
    # Of the rules that are not asked in each way, every other one is answered by sub-selects, the rest by groups.
    numbers = range(len(rules))
    some = [[n for n in numbers if wanted[n].whole or n % 2 == half] for half in (0, 1)]
    correlated, grouped = (
        CorrelatedFrame(REGISTRY.time_zone, lookups),
        GroupedFrame(REGISTRY.time_zone, lookups),
    )
    answers: list[tuple[str, Sequence[int], list[list[str]]]] = [
        ("correlated", some[0], _values(connection, [rules[n] for n in some[0]], correlated, ids)),
        ("grouped", some[1], _values(connection, [rules[n] for n in some[1]], grouped, ids)),
        ("interpreter", numbers, [[r.interpret(p, NOW).value for p in people] for r in rules]),
    ]
    if asked is None:
        answers.append(("evaluator", numbers, [[r.evaluate(p, NOW).value for p in people] for r in rules]))
    for engine, which, told in answers:
        for number, got in zip(which, told, strict=True):
            if list(wanted[number].outcomes) != got:
                yield Fault(wanted[number].text, engine, json.dumps(wanted[number].outcomes), json.dumps(got))
    for want, rule in zip(wanted, rules, strict=True):
        if want.whole:
            yield from _whole(connection, want, rule, people, ids)
            if asked is None:
                told_changes = [_text(rule.next_change(p, NOW)) for p in people]
                if told_changes != list(want.changes):
                    yield Fault(want.text, "next change", str(want.changes), str(told_changes))
            yield from _instants(connection, want, rule, people, ids)


def _values(
    connection: Connection, rules: list[CompiledRule], frame: Any, ids: Sequence[UUID]
) -> list[list[str]]:
    columns = [compile_value(rule.ir, frame).label(f"v{n}") for n, rule in enumerate(rules)]
    source = frame.joined(profile) if isinstance(frame, GroupedFrame) else profile
    rows = {
        row.contact_id: row
        for row in connection.execute(
            select(profile.c.contact_id, *columns).select_from(source), {"now": NOW}
        )
    }
    return [[VERDICTS[rows[i][n + 1]] for i in ids] for n in range(len(rules))]


def _whole(
    connection: Connection, want: Wanted, rule: CompiledRule, people: Sequence[Profile], ids: Sequence[UUID]
) -> Iterator[Fault]:
    members = {i for i, outcome in zip(ids, want.outcomes, strict=True) if outcome == Outcome.MEMBER.value}
    if rule.plugin_calls:
        store.answer(connection, rule.plugin_calls, ids, people)
    for engine, ask in (("rebuild", store.members_by_rebuild), ("where", store.members_by_where)):
        found = ask(connection, rule, NOW)
        if found != members:
            yield Fault(want.text, engine, str(members), str(found))
    swept = store.swept(connection, rule, NOW, ids)
    alone = sorted(members), sorted(store.changes(connection, rule, NOW).items())
    if swept != alone:
        yield Fault(want.text, "sweep", str(alone), str(swept))
    # Not every server has a collation that orders texts otherwise, so this is read from the statement.
    if any(isinstance(n, ir.Compare) and n.left.kind == "string" for n in rule.ir.walk()):
        statement = str(rule.rebuild_select.compile(dialect=postgresql.dialect()))  # type: ignore[no-untyped-call]
        if 'COLLATE "C"' not in statement:
            yield Fault(want.text, "collation", 'COLLATE "C"', statement)


def _instants(
    connection: Connection, want: Wanted, rule: CompiledRule, people: Sequence[Profile], ids: Sequence[UUID]
) -> Iterator[Fault]:
    if not rule.time_dependent:
        return
    by_sql = store.changes(connection, rule, NOW)
    for person, contact_id, instant in zip(people, ids, want.changes, strict=True):
        early = by_sql.get(contact_id)
        late = instant is not None and (early is None or early > datetime.fromisoformat(instant))
        inexact = want.exact and _nothing_to_come(person) and _text(early) != instant
        if late or inexact or (early is not None and early <= NOW):
            yield Fault(want.text, "next change in SQL", str(instant), str(early))


def _nothing_to_come(person: Profile) -> bool:
    return all(e.time <= NOW for e in person.events)


def brute_change(rule: CompiledRule, person: Profile) -> datetime | None:
    """Find the first change of a rule that is one leaf, by asking CEL at every instant that could be one."""
    before = rule.evaluate(person, NOW)
    times = {e.time for e in person.events}
    times |= {v for v in (*person.attributes.values(), *person.traits.values()) if isinstance(v, datetime)}
    shifts = [timedelta(days=n) for n in (0, 1, 2, 3, 30)]
    steps = [timedelta(microseconds=n) for n in (-1, 0, 1)]
    candidates = {t + shift + step for t in times if t.year < 9000 for shift in shifts for step in steps}
    born = person.attributes.get("birth_date")
    if born is not None:
        zone = ZoneInfo(REGISTRY.time_zone)
        candidates |= {datetime(year, born.month, born.day, tzinfo=zone) for year in range(2026, 2036)}
    return next((t for t in sorted(candidates) if t > NOW and rule.evaluate(person, t) != before), None)
