"""Rebuild of many segments in one pass over all contacts, for rules that are in force already."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping

from services.segmentation.context import Service
from services.segmentation.domain import Rebuilt, with_dependents
from services.segmentation.rulebook import Plan
from services.segmentation.rules import pass_statement
from services.segmentation.store import differing, locks, membership, segments
from services.segmentation.usecases.evaluation import Tally, evaluate
from services.segmentation.usecases.progress import Progress

BATCH = 500
_SETTLING = "settling"


def settle(
    service: Service, ids: Collection[str], edges: Mapping[str, Collection[str]], operation: Progress
) -> list[Rebuilt]:
    """Put right the members of segments, and return what was done; those that this way does not suit are left out.

    Whoever differs from what the rules say is found on a snapshot in one pass that holds no lock; they alone are then
    evaluated as by any change of theirs, in batches. Whoever changes meanwhile is evaluated by what changes them, so
    nothing is lost however the two meet. It suits rules that are in force, undisturbed, ask no plugin, and name no
    segment that it does not suit; with fewer than two of them nothing is done. edges: the segments that each segment's
    rules name. An attempt after one that was cut short finds whoever is left, and counts on from where that stood.
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
                    return []
                found = pass_statement([(number, plan.compiled[number]) for number in numbers])
                differing.find(connection, found.select, numbers, now)
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
                segments.settled(connection, numbers, now)
                return [
                    Rebuilt(
                        plan.rules[number].name,
                        plan.rules[number].version,
                        tally.entered[number],
                        tally.left[number],
                        membership.member_count(connection, number),
                    )
                    for number in numbers
                ]
        finally:
            connection.rollback()
            with connection.begin():
                differing.drop(connection)


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
