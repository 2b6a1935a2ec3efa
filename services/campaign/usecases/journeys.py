"""Journeys: made, changed, switched on and off."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime
from typing import Any

from sqlalchemy import Connection

from services.campaign.domain.graph import Problem
from services.campaign.domain.ids import RuleError, check_id
from services.campaign.domain.journeys import Journey, definition_to_json
from services.campaign.domain.ledger import Counts
from services.campaign.domain.steps import Node, Send, numbered
from services.campaign.store import dates, entries, ledger
from services.campaign.store import journeys as store
from services.campaign.usecases import approvals
from services.campaign.usecases import journey_checks as checks
from services.campaign.usecases.checks import exists_already, refuse, require_pools, require_templates
from services.campaign.usecases.journey_control import locked, plan
from services.campaign.usecases.journey_moving import advance_journeys
from services.campaign.usecases.journey_starting import start_journeys
from services.kit import context
from services.kit.errors import Aborted, FailedPrecondition, FieldViolation, InvalidArgument, NotFound
from services.kit.names import format_name
from services.kit.runtime import Runtime

__all__ = ["advance_journeys", "start_journeys"]

Counted = tuple[Journey, Counts]


def create_journey(runtime: Runtime, connection: Connection, given: Journey) -> Journey:
    """Store a new journey, inactive; raises AlreadyExists, NotFound, InvalidArgument (INVALID_JOURNEY)."""
    try:
        check_id(given.id)
    except RuleError as error:
        raise refuse(error, "journey_id") from error
    given = sound(runtime, connection, given)
    made = replace(given, active=False, activate_time=None, create_time=runtime.clock.now(), version=1)
    if not store.insert(connection, made, context.principal()):
        raise exists_already(format_name("journeys", made.id))
    return made


def sound(runtime: Runtime, connection: Connection, given: Journey) -> Journey:
    """Return a journey with all filled in; raises NotFound, InvalidArgument (INVALID_JOURNEY)."""
    given = checks.with_channels(runtime, given)
    if problems := checks.local_problems(runtime, given):
        raise checks.refuse(problems)
    nodes = numbered(given.steps)
    sends = [node.action for node in nodes if isinstance(node.action, Send)]
    require_templates(connection, {send.template_id for send in sends})
    require_pools(connection, {send.coupon_pool_id for send in sends})
    return replace(given, steps=nodes)


def validate_journey(runtime: Runtime, given: Journey) -> list[Problem]:
    """Return all that keeps a journey from being activated, as if it was created first; raises Unavailable."""
    given = checks.with_channels(runtime, given)
    found = checks.local_problems(runtime, given)
    with runtime.db.read() as connection:
        found += checks.missing_parts(connection, given)
        found += checks.empty_names(runtime, connection, given)
        found += checks.used_up_parts(connection, given, runtime.clock.now())
    # Of steps that are unsound by themselves nobody else can say whether they are.
    faulty = {(problem.field, problem.step) for problem in found}
    outside = checks.outside_problems(runtime, given) if given.steps else []
    return found + [item for item in outside if (item.field, item.step) not in faulty]


def update_journey(runtime: Runtime, connection: Connection, given: Journey, expected: int) -> Counted:
    """Replace a journey, with a new version if it differs; raises NotFound, InvalidArgument, Aborted, Unavailable,
    FailedPrecondition (JOURNEY_STATE, APPROVAL_REQUIRED, APPROVAL_VOID).

    expected: the version that was read, 0 for any.
    """
    present = locked(connection, given.id)
    plan("change", present)
    if expected not in (0, present.version):
        raise Aborted(
            f"journeys/{given.id} is at version {present.version}, not {expected}: read it again and decide anew",
            reason="VERSION_MISMATCH",
        )
    given = sound(runtime, connection, given)
    now = runtime.clock.now()
    new = definition_to_json(given) != definition_to_json(present)
    if new and present.active:
        _prepare(runtime, connection, given, now)
    triggered_alike = (given.event_type, given.segment, given.condition, given.date) == (
        present.event_type,
        present.segment,
        present.condition,
        present.date,
    )
    changed = replace(
        given,
        active=present.active,
        # Events from before somebody wanted them start nothing.
        activate_time=present.activate_time if triggered_alike or not present.active else now,
        create_time=present.create_time,
        version=present.version,
    )
    store.update(connection, changed, present.version + new, now, context.principal())
    return _counted(connection, given.id)


def get_journey(runtime: Runtime, key: str) -> Counted:
    """Return a journey with its counts; raises NotFound."""
    with runtime.db.read() as connection:
        return _counted(connection, key)


def list_journeys(runtime: Runtime, *, after: str, count: int) -> list[Counted]:
    """Return the next journeys by id, with their counts."""
    with runtime.db.read() as connection:
        found = store.page(connection, after=after, count=count)
        counts = ledger.counts(connection, [item.origin for item in found])
    return [(item, counts[item.origin]) for item in found]


def set_active(runtime: Runtime, key: str, *, active: bool) -> Counted:
    """Let events start a journey from now on, or no more.

    Raises NotFound; to activate it, also InvalidArgument (INVALID_JOURNEY), FailedPrecondition (JOURNEY_STATE,
    APPROVAL_REQUIRED, APPROVAL_VOID) and Unavailable.
    """
    with runtime.db.transaction() as connection:
        switch(runtime, connection, key, active=active)
        return _counted(connection, key)


def switch(runtime: Runtime, connection: Connection, key: str, *, active: bool) -> None:
    """Do what set_active does in the caller's transaction."""
    now = runtime.clock.now()
    if active:
        journey = locked(connection, key)
        plan("activate", journey)
        if not journey.active:
            _prepare(runtime, connection, journey, now)
    store.set_active(connection, key, active, now)


def _prepare(runtime: Runtime, connection: Connection, journey: Journey, now: datetime) -> None:
    # As ValidateJourney does: a channel may be gone since it was made, and a pool be used up.
    problems = [
        *checks.local_problems(runtime, journey),
        *checks.missing_parts(connection, journey),
        *checks.empty_names(runtime, connection, journey),
        *checks.used_up_parts(connection, journey, now),
        *checks.outside_problems(runtime, journey),
    ]
    if problems:
        raise checks.refuse(problems)
    approvals.require_journey(runtime, connection, journey)
    if journey.date is not None:
        dates.want(connection, journey.date.attribute, now)


def list_versions(
    runtime: Runtime, key: str, *, before: int, count: int
) -> list[tuple[int, Mapping[str, Any], datetime, int]]:
    """Return the next versions of a journey, newest first; raises NotFound."""
    with runtime.db.read() as connection:
        if store.get(connection, key) is None:
            raise NotFound.resource(format_name("journeys", key))
        return list(store.versions(connection, key, before=before, count=count))


def migrate_journey(
    runtime: Runtime, key: str, mapping: Mapping[str, str], from_version: int
) -> tuple[int, int]:
    """Put those on older versions, or on one of them, onto the newest; returns how many, and which it is.

    Raises NotFound, InvalidArgument (INVALID_MAPPING), FailedPrecondition (STEPS_UNMAPPED, APPROVAL_REQUIRED,
    APPROVAL_VOID), Unavailable.
    """
    with runtime.db.transaction() as connection:
        # Locked, so that the newest stays the newest.
        journey = locked(connection, key)
        there = {node.id for node in journey.steps if isinstance(node, Node)} | {"end"}
        wrong = [
            FieldViolation(f"steps[{old}]", _no_step(new, journey))
            for old, new in mapping.items()
            if new not in there
        ]
        if wrong:
            raise InvalidArgument(wrong[0].description, reason="INVALID_MAPPING", violations=wrong)
        waiting = {
            place: count
            for place, count in entries.open_steps(connection, key, journey.version).items()
            if from_version in (0, place[0])
        }
        targets = {step: mapping.get(step, step) for _, step in waiting}
        lost = sorted(step for step, target in targets.items() if target not in there)
        if lost:
            raise FailedPrecondition(
                f"{journey.origin}: people are in {', '.join(lost)}, which version {journey.version} has not: say in "
                "`steps` where they go",
                reason="STEPS_UNMAPPED",
                metadata={"steps": ",".join(lost)},
            )
        moved = 0
        if targets:
            # What nobody approved must not reach those who are on what was.
            approvals.require_journey(runtime, connection, journey)
            versions = {number for number, _ in waiting}
            moved = entries.migrate(connection, key, journey.version, targets, versions, runtime.clock.now())
        return moved, journey.version


def _no_step(step: str, journey: Journey) -> str:
    return f"{step!r} is no step of version {journey.version} of {journey.origin}"


def _counted(connection: Connection, key: str) -> Counted:
    found = store.get(connection, key)
    if found is None:
        raise NotFound.resource(format_name("journeys", key))
    return found, ledger.counts(connection, [found.origin])[found.origin]
