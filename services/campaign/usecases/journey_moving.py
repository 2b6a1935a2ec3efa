"""Journeys: entries that are due take their steps.

A batch is taken, moved and stored in one transaction, with the messages and deeds that its steps bring about, so that a
crash loses and doubles nothing. What has to be asked of other services is asked between two transactions, while nothing
is locked; the answer counts if the entry has not moved meanwhile.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from uuid import UUID
from zoneinfo import ZoneInfo

import grpc
from rapport_client.errors import RapportError as ClientError
from sqlalchemy import Connection

from services.campaign.domain.ids import TRANSACTIONAL
from services.campaign.domain.journeys import Entry, Graph
from services.campaign.domain.ledger import NewMessage
from services.campaign.domain.localtime import check_zone, find_zone
from services.campaign.domain.stepping import Advance, Known, advance
from services.campaign.domain.steps import KIND_OF, OUTWARD, Branch, OpenTask, Send, Webhook, steps_to_json
from services.campaign.store import entries as store
from services.campaign.store import journey_actions as actions
from services.campaign.store import journey_control, journeys, ledger
from services.campaign.usecases import audience
from services.kit import log
from services.kit.log import safe_text
from services.kit.names import format_name, new_id, parse_name
from services.kit.runtime import Runtime
from services.kit.transient import is_transient

AT_ONCE = 1000
AGAIN = timedelta(seconds=30)
"""After so long an entry is tried again whose rule or time zone could not be found out."""
_log = log.get_logger("journeys")
Moves = list[tuple[Entry, Advance]]


def advance_journeys(runtime: Runtime) -> int:
    """Take the steps that are due by now, a batch of entries at a time, and return how many entries were looked at."""
    total = 0
    while True:
        now = runtime.clock.now()
        with runtime.db.transaction() as connection:
            due = store.take_due(connection, now, AT_ONCE)
            moves = _step(runtime, connection, due, {})
        total += len(due)
        _go_on(runtime, moves)
        if not due:
            return total


def _go_on(runtime: Runtime, moves: Moves) -> None:
    """Find out what stopped entries, and move them, until nothing does."""
    while asking := [(entry, done) for entry, done in moves if done.needs]:
        known, problems = _find_out(runtime, asking)
        with runtime.db.transaction() as connection:
            if problems:
                store.hold(connection, problems, runtime.clock.now() + AGAIN)
            moves = _step(runtime, connection, store.take(connection, known), known)


def _step(
    runtime: Runtime, connection: Connection, due: Sequence[Entry], known: Mapping[UUID, Known]
) -> Moves:
    if not due:
        return []
    now = runtime.clock.now()
    graphs = journeys.graphs(connection, {(entry.journey_id, entry.version) for entry in due})
    signals = store.signals(connection, [entry.id for entry in due if entry.signalled])
    since = min(entry.arrive_time for entry in due)
    pauses = journey_control.pauses(connection, {entry.journey_id for entry in due}, since)
    moves: Moves = []
    stuck: dict[UUID, str] = {}
    for entry in due:
        try:
            done = advance(
                graphs[entry.journey_id, entry.version],
                entry,
                signals.get(entry.id, ()),
                known.get(entry.id),
                now,
                pauses.get(entry.journey_id, ()),
            )
        except Exception as error:
            # A mistake of ours in one entry must not stop all others, again and again.
            _log.exception("an entry of a journey cannot be moved", entry=str(entry.id), step=entry.step_id)
            stuck[entry.id] = f"it cannot be moved: {type(error).__name__}"
        else:
            moves.append((entry, done))
    if stuck:
        store.hold(connection, stuck, now + AGAIN)
    effects = [(entry, *effect, done) for entry, done in moves for effect in done.effects]
    called = [entry.id for entry, _, _, action, _ in effects if isinstance(action, Webhook)]
    events = journeys.events_of(connection, called)
    messages, deeds = [], []
    for entry, step, step_id, action, done in effects:
        match action:
            case Send():
                messages.append(_message(entry, step, action))
            case Webhook():
                messages.append(_call(entry, step, step_id, action, events[entry.id]))
            case _ if isinstance(action, OUTWARD):
                kind = KIND_OF[type(action)]
                body = steps_to_json([action])[0][kind]
                if isinstance(action, OpenTask):
                    body["due_time"] = _due(action, step, done)
                deeds.append(
                    actions.Deed(
                        new_id(), entry.id, step, entry.journey_id, step_id, entry.contact_id, kind, body
                    )
                )
    ledger.plan_steps(connection, messages, now)
    actions.plan(connection, deeds, now)
    store.move(connection, moves)
    return moves


def _due(action: OpenTask, step: int, done: Advance) -> str:
    """Return when a task is due, counted from when its step was taken; "" for never."""
    if action.due_after is None:
        return ""
    taken = next(move.leave_time for move in done.moves if move.step == step)
    return (taken + action.due_after).isoformat()


def _message(entry: Entry, step: int, send: Send) -> NewMessage:
    origin = format_name("journeys", entry.journey_id)
    return NewMessage(
        id=new_id(),
        origin=origin,
        lane=origin,
        contact_id=entry.contact_id,
        channel=send.channel,
        topic=send.topic,
        entry_id=entry.id,
        step=step,
        template_id=send.template_id,
        coupon_pool_id=send.coupon_pool_id,
    )


def _call(entry: Entry, step: int, step_id: str, webhook: Webhook, event: Mapping[str, object]) -> NewMessage:
    origin = format_name("journeys", entry.journey_id)
    text = {
        "journey": origin,
        "step": step_id,
        "entry": format_name("journeyEntries", entry.id),
        "contact": format_name("contacts", entry.contact_id),
        "event": event,
    }
    return NewMessage(
        id=new_id(),
        origin=origin,
        lane=origin,
        contact_id=entry.contact_id,
        channel=webhook.channel,
        topic=TRANSACTIONAL,
        entry_id=entry.id,
        step=step,
        subject=f"{origin} {step_id}",
        content={
            "address": webhook.url,
            "text": json.dumps(text, ensure_ascii=False),
            "reply_to": "",
            "in_reply_to": "",
        },
    )


def _find_out(runtime: Runtime, asking: Moves) -> tuple[dict[UUID, Known], dict[UUID, str]]:
    """Return what entries need to know, and for those of whom it cannot be found out, why."""
    known: dict[UUID, Known] = {}
    problems: dict[UUID, str] = {}
    zones = [(entry, done) for entry, done in asking if done.needs == "zone"]
    if zones:
        try:
            found = zones_of(runtime, [entry.contact_id for entry, _ in zones])
            known |= {
                entry.id: Known(entry.version, done.step, zone=found[entry.contact_id])
                for entry, done in zones
            }
        except ClientError as error:
            _note(problems, zones, error)
    with runtime.db.read() as connection:
        branches = [(entry, done) for entry, done in asking if done.needs == "case"]
        graphs = journeys.graphs(connection, {(entry.journey_id, entry.version) for entry, _ in branches})
    groups: dict[Branch, Moves] = {}
    for entry, done in branches:
        branch = _branch(graphs[entry.journey_id, entry.version], done.step_id)
        groups.setdefault(branch, []).append((entry, done))
    for branch, some in groups.items():
        left = dict.fromkeys(entry.contact_id for entry, _ in some)
        cases: dict[UUID, int] = {}
        try:
            for index, case in enumerate(branch.cases):
                cases |= dict.fromkeys(matching(runtime, case.rule, list(left)), index)
                left = {key: None for key in left if key not in cases}
        except ClientError as error:
            _note(problems, some, error)
            continue
        known |= {
            entry.id: Known(entry.version, done.step, case=cases.get(entry.contact_id, -1))
            for entry, done in some
        }
    return known, problems


def _branch(graph: Graph, step_id: str) -> Branch:
    action = graph.nodes[step_id].action
    assert isinstance(action, Branch)
    return action


def _note(problems: dict[UUID, str], some: Moves, error: ClientError) -> None:
    _log.warning("journeys wait for an answer", entries=len(some), problem=safe_text(error.message))
    kind = "cannot be asked" if is_transient(error) else "refuses"
    text = safe_text(f"a service {kind}: {error.message}")
    problems |= {entry.id: text for entry, _ in some}


def zones_of(runtime: Runtime, contacts: Sequence[UUID]) -> dict[UUID, ZoneInfo]:
    """Return the time zones of contacts, the business's where none is known; raises the client's errors."""
    own = check_zone(runtime.settings.time_zone)
    people = audience.recipients(runtime, list(dict.fromkeys(contacts)), "email", TRANSACTIONAL)
    return {key: (find_zone(people[key].time_zone) if key in people else None) or own for key in contacts}


def matching(
    runtime: Runtime, rule: str, contacts: Sequence[UUID], at: datetime | None = None
) -> Iterable[UUID]:
    """Return those of some contacts for whom a rule is TRUE, now unless a time is given; raises the client's errors."""
    for start in range(0, len(contacts), 1000):
        names = [format_name("contacts", key) for key in contacts[start : start + 1000]]
        answer = runtime.clients.segmentation.match_contacts(rule=rule, contacts=names, as_of_time=at)
        yield from (parse_name(name, "contacts") for name in answer.contacts)


def is_refusal(error: ClientError) -> bool:
    """Say whether a service refused what was asked, rather than could not be asked."""
    return error.code in (
        grpc.StatusCode.INVALID_ARGUMENT,
        grpc.StatusCode.NOT_FOUND,
        grpc.StatusCode.FAILED_PRECONDITION,
    )
