"""Why a contact is in a segment, or is not: now, as of a past time, or at a time to come."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import Connection
from sqlalchemy.sql.selectable import FromClause

from services.kit.errors import FailedPrecondition, InvalidArgument, NotFound
from services.kit.log import get_logger
from services.kit.names import format_name
from services.segmentation.context import Service
from services.segmentation.domain import SEGMENTS
from services.segmentation.models import membership, profile
from services.segmentation.rulebook import Call
from services.segmentation.rules import CompiledRule, Registry, batch_statement, ir
from services.segmentation.rules.explanation import Explanation, explain
from services.segmentation.rules.facts import operands_of
from services.segmentation.rules.moments import check_now
from services.segmentation.rules.outlook import Outlook, most_events
from services.segmentation.rules.stored import stored_profile
from services.segmentation.rules.structure import structure_of
from services.segmentation.store import explaining, past_segments, segments
from services.segmentation.usecases.answers import Answers, ask, fill
from services.segmentation.usecases.defining import compile_new, load
from services.segmentation.usecases.history import check_kept, past_relations
from services.segmentation.usecases.past_answers import ask_past
from services.segmentation.usecases.previewing import snapshot
from services.segmentation.usecases.rebuilding import compile_followed, rule_of
from services.segmentation.vocabulary import load_names, make_registry

MOST_EVENTS = 10_000
"""Events of a contact that are looked at one by one; beyond, the newest ones, and SQL alone knows the answers."""

_log = get_logger("segmentation.explaining")


@dataclass(frozen=True)
class Explained:
    """Hold an explanation with what surrounds it.

    version: of the segment's rule, 0 for a rule that was given. member and enter_time: whether and since when the
    contact is stored as a member of the segment. entered: by segment, since when the contact was in it. events_read and
    events_total: events of the types that the rule reads; when fewer were read, the newest were, and the facts and
    the outlook are those of these, but every answer is SQL's.
    """

    explanation: Explanation
    rule: str
    version: int
    member: bool
    enter_time: datetime | None
    entered: Mapping[str, datetime]
    events_read: int
    events_total: int


@dataclass(frozen=True)
class Target:
    """Hold what is explained: a compiled rule, its text, and of which version of which segment (0 and "" for none)."""

    compiled: CompiledRule
    rule: str
    version: int
    segment: str


@dataclass(frozen=True)
class Sight:
    """Say where facts are read: as of an instant, through relations like the tables of profiles and memberships."""

    at: datetime
    past: bool
    relation: FromClause
    members: FromClause

    @property
    def until(self) -> datetime | None:
        """Return the last instant of which events are read; None for all, those to come too."""
        return self.at if self.past else None


def explain_membership(
    service: Service, contact_id: UUID, *, rule: str = "", segment: str = "", as_of: datetime | None = None
) -> Explained:
    """Explain what a rule, or the rule of a segment in force at a time, says about a contact; of a list, whether it
    holds the contact.

    Raises NotFound, InvalidArgument (INVALID_RULE), FailedPrecondition (BEFORE_RETENTION, PLUGIN_FAILED, BROKEN_RULE,
    NO_PAST_ANSWER), ResourceExhausted (RULE_TOO_COSTLY).
    """
    now = service.clock.now()
    at = as_of or now
    try:
        check_now(at)
    except ValueError as error:
        raise InvalidArgument.field("as_of_time", str(error)) from error
    with snapshot(service) as connection:
        target = _target(service, connection, rule, segment, at, earlier=at < now)
        sight = _sight(service, connection, target, at, earlier=at < now)
        return _explained(service, connection, contact_id, target, sight)


def _target(
    service: Service, connection: Connection, rule: str, segment: str, at: datetime, *, earlier: bool
) -> Target:
    if not segment:
        return Target(compile_new(service, connection, rule, "rule"), rule, 0, "")
    found = load(connection, segment)
    version = past_segments.version_at(connection, found.number, at) if earlier else 0
    # Before the first rebuild, now or at that time: the rule that will be or was to be followed.
    stored = rule_of(connection, found, version or found.active_version or found.version)
    compiled = compile_followed(service, connection, stored)
    return Target(compiled, stored.rule, stored.version, segment)


def _sight(service: Service, connection: Connection, target: Target, at: datetime, *, earlier: bool) -> Sight:
    if not earlier:
        return Sight(at, False, profile, membership)
    if target.segment:
        check_kept(service, connection, "memberships", at)
    return Sight(at, True, *past_relations(service, connection, target.compiled, at))


def _explained(
    service: Service, connection: Connection, contact_id: UUID, target: Target, sight: Sight
) -> Explained:
    row = explaining.row_of(connection, sight.relation, contact_id)
    if row is None:
        raise NotFound.resource(format_name("contacts", contact_id))
    others = {} if sight.past else _named_rules(service, connection, target.compiled)
    answers, known_until = _answers(service, connection, contact_id, target.compiled, others, sight)
    return explain_row(
        connection,
        row,
        target,
        sight,
        registry=_registry(service, connection, target.compiled),
        others=others,
        lists=[format_name(SEGMENTS, id_) for id_ in segments.lists(connection)],
        plugin_values={wanted: given[0].value for wanted, given in answers.given.items() if given},
        known_until=known_until,
    )


def explain_row(
    connection: Connection,
    row: Any,
    target: Target,
    sight: Sight,
    *,
    registry: Registry,
    others: Mapping[str, CompiledRule],
    lists: Collection[str] = (),
    plugin_values: Mapping[Call, Any],
    known_until: datetime | None,
) -> Explained:
    """Explain a rule for a contact whose row of the relation in sight is given.

    registry: names all that the row may hold. others, lists, known_until: as of ``explanation.explain``. plugin_values:
    answers of plugins, which must lie where SQL reads them as well.
    """
    compiled, contact_id = target.compiled, row.contact_id
    entered = explaining.entered(connection, contact_id, sight.until)
    types = compiled.event_types.union(*(other.event_types for other in others.values()))
    most = most_events([compiled.ir, *(other.ir for other in others.values())], MOST_EVENTS)
    events = explaining.events(connection, contact_id, types, sight.until, most + 1)
    whole = len(events) <= most
    events = events[:most]
    total = len(events) if whole else explaining.event_count(connection, contact_id, types, sight.until)
    values = _values(connection, contact_id, compiled, sight, operands=not whole)
    view = stored_profile(
        registry,
        row,
        events,
        segments=(format_name(SEGMENTS, id_) for id_ in entered),
        plugin_values=plugin_values,
    )
    explanation = explain(
        compiled,
        view,
        sight.at,
        values=values,
        registry=registry,
        others=others,
        lists=lists,
        known_until=known_until,
        known=None if whole else _bounded_outlook(connection, contact_id, compiled, sight, known_until),
    )
    if explanation.outcome is not values[compiled.ir]:
        _log.error("the rule and its leaves disagree", contact=str(contact_id), rule=target.rule)
        explanation = replace(explanation, outcome=values[compiled.ir])
    return Explained(
        explanation,
        target.rule,
        target.version,
        target.segment in entered,
        entered.get(target.segment),
        entered,
        len(events),
        total,
    )


def _named_rules(service: Service, connection: Connection, compiled: CompiledRule) -> dict[str, CompiledRule]:
    """Return the rules in force of the segments that a rule names, directly or not, each after those that it names."""
    if not compiled.segments:
        return {}
    plan = service.plan(connection)
    by_name = {plan.rules[number].name: rule for number, rule in plan.compiled.items()}
    wanted: set[str] = set()
    waiting = list(compiled.segments)
    while waiting:
        name = waiting.pop()
        if name in by_name and name not in wanted:
            wanted.add(name)
            waiting.extend(by_name[name].segments)
    order = [plan.rules[number].name for level in plan.levels for number in level]
    return {name: by_name[name] for name in order if name in wanted}


def _registry(service: Service, connection: Connection, compiled: CompiledRule) -> Registry:
    """Return a registry that names all that profiles hold, the traits of missing plugins too."""
    registry = make_registry(load_names(connection), service.catalog(), service.time_zone, known_traits=True)
    return replace(registry, segments=compiled.registry.segments)


def _answers(
    service: Service,
    connection: Connection,
    contact_id: UUID,
    compiled: CompiledRule,
    others: Mapping[str, CompiledRule],
    sight: Sight,
) -> tuple[Answers, datetime | None]:
    """Return what plugins say, put where SQL reads it, and until when the outlook can be told."""
    own = [(call.function, call.params) for call in compiled.plugin_calls]
    foreign = {(call.function, call.params) for other in others.values() for call in other.plugin_calls}
    wanted = dict.fromkeys((*own, *sorted(foreign, key=repr)))
    if sight.past:
        answers = ask_past(service, connection, own, [contact_id], sight.at)
    else:
        answers = ask(service, connection, wanted, [contact_id], sight.at)
    if failed := [answers.failed[call] for call in own if call in answers.failed]:
        raise FailedPrecondition(f"a plugin gave no answer: {failed[0]}", reason="PLUGIN_FAILED")
    if own:
        fill(connection, compiled.plugin_calls, answers)
    limits = [at for _, at in answers.next_changes()]
    # What the segments that are named did after a past time is history, and not to be told from their rules of today.
    if answers.failed or (sight.past and compiled.segments):
        limits.append(sight.at)
    return answers, min(limits, default=None)


def _values(
    connection: Connection, contact_id: UUID, compiled: CompiledRule, sight: Sight, *, operands: bool
) -> dict[ir.Node, Any]:
    """Return what SQL says of the rule and its leaves; operands: and of what they compare."""
    _, leaves = structure_of(compiled.ir)
    nodes: Iterable[ir.Node] = (compiled.ir, *leaves)
    if operands:
        nodes = (*nodes, *(part for leaf in leaves for part in operands_of(leaf)))
    return explaining.values(
        connection, compiled, list(nodes), contact_id, sight.at, sight.relation, sight.members
    )


def _bounded_outlook(
    connection: Connection,
    contact_id: UUID,
    compiled: CompiledRule,
    sight: Sight,
    known_until: datetime | None,
) -> Outlook:
    """Return what SQL knows of the outlook: an instant before which nothing changes."""
    if sight.past or compiled.segments:
        return Outlook(known_until=sight.at)
    select = batch_statement([(0, compiled)]).select
    limits = [explaining.next_change(connection, select, contact_id, sight.at), known_until]
    return Outlook(known_until=min((limit for limit in limits if limit is not None), default=None))
