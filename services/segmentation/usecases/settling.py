"""Rebuild of many segments in one pass over all contacts, for rules that are in force already."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from sqlalchemy import Connection

from services.kit.log import get_logger
from services.segmentation.context import Service
from services.segmentation.domain import Rebuilt, with_dependents
from services.segmentation.rulebook import Plan
from services.segmentation.rules import pass_statement
from services.segmentation.store import bounds, differing, locks, membership, segments
from services.segmentation.usecases.evaluation import Tally, evaluate
from services.segmentation.usecases.progress import Progress

BATCH = 500
_SETTLING = "settling"
_log = get_logger("segmentation.rebuild")


@dataclass(frozen=True)
class Settled:
    """Hold what was done to segments, and why others could not be settled, by id."""

    rebuilt: Sequence[Rebuilt] = ()
    failed: Mapping[str, str] = field(default_factory=dict)


def settle(
    service: Service, ids: Collection[str], edges: Mapping[str, Collection[str]], operation: Progress
) -> Settled:
    """Put right the members of segments, and return what was done; those that this way does not suit are left out.

    Whoever differs from what the rules say is found on a snapshot in one pass that holds no lock; they alone are then
    evaluated as by any change of theirs, in batches. Whoever changes meanwhile is evaluated by what changes them, so
    nothing is lost however the two meet. It suits rules that are in force, undisturbed, ask no plugin, and name no
    segment that it does not suit; with fewer than two of them nothing is done. edges: the segments that each segment's
    rules name. An attempt after one that was cut short finds whoever is left, and counts on from where that stood.
    When the pass takes too long each rule is asked by itself, and those that do even so fail.
    """
    now = service.clock.now()
    tally = _resumed(operation)
    # One connection for all: whoever differs lies in a table of this session.
    with service.db.engine.connect() as connection:
        try:
            with connection.begin():
                plan = service.plan(connection)
                numbers = _suited(plan, ids, edges, segments.undisturbed(connection, ids))
                if len(numbers) < 2:
                    return Settled()
                found = _find(connection, plan, numbers, now, service.limits.unhurried)
            failed: dict[str, str] = {}
            if not found:
                operation.raise_if_cancelled()
                failed = _find_each(service, connection, plan, numbers, now)
            while True:
                operation.raise_if_cancelled()
                with connection.begin():
                    locks.share_membership(connection)
                    some = locks.lock_contacts(connection, differing.take(connection, BATCH))
                    evaluate(
                        service, connection, some, now=service.clock.now(), historical=False, tally=tally
                    )
                    if some:
                        operation.checkpoint(connection, {_SETTLING: [dict(tally.entered), dict(tally.left)]})
                if not some:
                    break
            with connection.begin():
                slow = service.plan(connection).revisions.slow
                right = [n for n in numbers if plan.rules[n].id not in failed and n not in slow]
                segments.settled(connection, right, now)
                return Settled(
                    [
                        Rebuilt(
                            plan.rules[number].name,
                            plan.rules[number].version,
                            tally.entered[number],
                            tally.left[number],
                            membership.member_count(connection, number),
                        )
                        for number in right
                    ],
                    failed,
                )
        finally:
            connection.rollback()
            with connection.begin():
                differing.drop(connection)


def too_slow(seconds: float) -> str:
    """Say that a rule took longer than it may for all contacts, and what to do."""
    return (
        f"its rule takes longer than {seconds:g} s for all contacts: write it flatter or split it, as lists inside one "
        "another take the number of a contact's events to the power of their depth; if there are that many contacts, "
        "raise RAPPORT_RULE_REBUILD_SECONDS"
    )


def _find(connection: Connection, plan: Plan, numbers: Sequence[int], now: datetime, seconds: float) -> bool:
    """Note who differs from what rules say; returns whether that could be found in time."""
    verdicts = pass_statement([(number, plan.compiled[number]) for number in numbers])
    try:
        differing.find(connection, verdicts.select, numbers, now, seconds)
    except bounds.TooSlow:
        return False
    return True


def _find_each(
    service: Service, connection: Connection, plan: Plan, numbers: Sequence[int], now: datetime
) -> dict[str, str]:
    """Note who differs from what each rule says, in a transaction for each; returns which take too long, by id."""
    failed: dict[str, str] = {}
    limit = service.limits.rebuild
    for number in numbers:
        with connection.begin():
            if not _find(connection, plan, [number], now, limit):
                rule = plan.rules[number]
                failed[rule.id] = too_slow(limit)
                _log.warning("rebuild failed", segment=rule.name, problem=failed[rule.id])
    return failed


def _resumed(operation: Progress) -> Tally:
    # Keys of JSON are texts.
    entered, left = (
        Counter({int(number): count for number, count in counts.items()})
        for counts in operation.state.get(_SETTLING, ({}, {}))
    )
    return Tally(entered, left)


def _suited(
    plan: Plan, ids: Collection[str], edges: Mapping[str, Collection[str]], undisturbed: Mapping[str, int]
) -> list[int]:
    suited = {
        id_
        for id_, number in undisturbed.items()
        if number in plan.compiled and not plan.compiled[number].plugin_calls
    }
    later = with_dependents(set(ids) - suited, edges)
    return sorted(undisturbed[id_] for id_ in suited.difference(later))
