"""Rebuild of many segments in one pass over all contacts, for rules that are in force already."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

from sqlalchemy import Connection

from services.kit.log import get_logger
from services.segmentation.context import Service
from services.segmentation.domain import Rebuilt, with_dependents
from services.segmentation.rules import pass_statement
from services.segmentation.store import bounds, differing, locks, membership, segments, sweeps
from services.segmentation.usecases.evaluation import Tally, evaluate
from services.segmentation.usecases.progress import Meter

BATCH = 500
FEWEST = 2
_log = get_logger("segmentation.rebuild")

Save = Callable[[Connection, dict[str, Any]], None]
"""Stores, in a transaction that does the work, where an attempt stands from which another one can go on."""


@dataclass(frozen=True)
class Settled:
    """Hold what was done to segments, and why others could not be settled, by id."""

    rebuilt: Sequence[Rebuilt] = ()
    failed: Mapping[str, str] = field(default_factory=dict)


def suited(service: Service, ids: Collection[str], edges: Mapping[str, Collection[str]]) -> list[str]:
    """Return those of some segments that can be settled: none, or two at least.

    Their rules are in force, undisturbed, ask no plugin, and name no segment that it does not suit. edges: the segments
    that each segment's rules name.
    """
    with service.db.transaction() as connection:
        undisturbed = segments.undisturbed(connection, ids)
        plan = service.plan(connection)
    found = {
        id_
        for id_, number in undisturbed.items()
        if number in plan.compiled and not plan.compiled[number].plugin_calls
    }
    later = with_dependents(set(ids) - found, edges)
    found.difference_update(later)
    return sorted(found) if len(found) >= FEWEST else []


def settle(service: Service, ids: Sequence[str], state: dict[str, Any], save: Save, meter: Meter) -> Settled:
    """Put right the members of segments that it suits, and return what was done.

    Whoever differs from what the rules say is found in one pass that holds no lock, slice by slice, each on a snapshot
    of its own; they alone are then evaluated as by any change of theirs, in batches. Whoever changes meanwhile is
    evaluated by what changes them, so nothing is lost however the two meet. state: what an attempt that was cut short
    saved last; the next one goes on with that slice. When the pass takes too long each rule is asked by itself about
    those who are left, and the rules that take too long even so fail.
    """
    # One connection for all: whoever differs lies in a table of this session.
    with service.db.engine.connect() as connection:
        try:
            with meter.interruptible(connection):
                return _Settling(service, connection, ids, state, save, meter).run()
        finally:
            connection.rollback()
            with connection.begin():
                differing.drop(connection)


class _Settling:
    """Settle segments in a session."""

    def __init__(
        self,
        service: Service,
        connection: Connection,
        ids: Sequence[str],
        state: dict[str, Any],
        save: Save,
        meter: Meter,
    ) -> None:
        self._service = service
        self._connection = connection
        self._save = save
        self._meter = meter
        self._started = service.clock.now()
        with connection.begin():
            self._plan = service.plan(connection)
        rules, compiled = self._plan.rules, self._plan.compiled
        # One that was deleted or set aside since, or that asks a plugin by now, is left out.
        self._numbers = sorted(
            number for number, rule in compiled.items() if rules[number].id in ids and not rule.plugin_calls
        )
        self._tally = Tally(*(_counter(state.get(name, {})) for name in ("entered", "left")))
        self._first = UUID(state["first"]) if "first" in state else sweeps.FIRST
        with connection.begin():
            self._contacts = sweeps.contacts(connection, self._first)
        # Of the rules that are asked by themselves, those that are done, and why others failed.
        self._alone: list[int] | None = state.get("alone")
        self._failed: dict[str, str] = dict(state.get("failed", {}))

    def run(self) -> Settled:
        """Go over everybody."""
        if not self._numbers:
            return Settled()
        self._meter.expect(self._contacts)
        self._meter.begin(self._contacts, f"{len(self._numbers)} segments in one pass")
        if self._alone is None:
            try:
                self._sweep(self._numbers, bounds.Budget(self._service.limits.unhurried))
            except bounds.TooSlow:
                self._alone = []
        if self._alone is not None:
            self._ask_each(self._alone)
        self._meter.end()
        return self._result()

    def _ask_each(self, done: list[int]) -> None:
        limit = self._service.limits.rebuild
        for number in self._numbers:
            if number in done:
                continue
            rule = self._plan.rules[number]
            self._meter.subject = rule.name
            self._meter.more(self._contacts)
            try:
                self._sweep([number], bounds.Budget(limit))
            except bounds.TooSlow:
                self._failed[rule.id] = too_slow(limit)
                _log.warning("rebuild failed", segment=rule.name, problem=self._failed[rule.id])
            done.append(number)
            with self._connection.begin():
                self._save(self._connection, self._state())

    def _sweep(self, numbers: Sequence[int], budget: bounds.Budget) -> None:
        """Find who differs from what rules say, from `_first` on, and evaluate them; raises TooSlow."""
        self._meter.add(0, "looking who differs")
        verdicts = pass_statement([(number, self._plan.compiled[number]) for number in numbers])
        finder = differing.Finder(verdicts.select, numbers)
        cut = sweeps.Cut(self._first)
        while True:
            with self._connection.begin():
                some = cut.next(self._connection)
                if some is None:
                    return
                finder.find(self._connection, some, self._service.clock.now(), budget)
            while self._evaluate_some():
                pass
            self._meter.count(some.contacts)
            # A rule that is asked by itself begins where the pass gave up.
            if self._alone is None and cut.rest is not None:
                self._first = cut.rest
                with self._connection.begin():
                    self._save(self._connection, self._state())
            self._meter.add(0, "looking who differs")

    def _evaluate_some(self) -> bool:
        self._meter.operation.raise_if_cancelled()
        service, connection = self._service, self._connection
        with connection.begin():
            locks.share_membership(connection)
            some = locks.lock_contacts(connection, differing.take(connection, BATCH))
            evaluate(
                service,
                connection,
                some,
                now=service.clock.now(),
                historical=False,
                tally=self._tally,
                watch=self._meter,
            )
            if some:
                self._save(connection, self._state())
        return bool(some)

    def _state(self) -> dict[str, Any]:
        state: dict[str, Any] = {
            "first": str(self._first),
            "entered": dict(self._tally.entered),
            "left": dict(self._tally.left),
        }
        if self._alone is not None:
            state |= {"alone": self._alone, "failed": self._failed}
        return state

    def _result(self) -> Settled:
        connection, rules = self._connection, self._plan.rules
        with connection.begin():
            slow = self._service.plan(connection).revisions.slow
            right = [n for n in self._numbers if rules[n].id not in self._failed and n not in slow]
            segments.settled(connection, right, self._started)
            return Settled(
                [
                    Rebuilt(
                        rules[number].name,
                        rules[number].version,
                        self._tally.entered[number],
                        self._tally.left[number],
                        membership.member_count(connection, number),
                    )
                    for number in right
                ],
                self._failed,
            )


def _counter(counts: Mapping[str, int]) -> Counter[int]:
    # Keys of JSON are texts.
    return Counter({int(number): count for number, count in counts.items()})


def too_slow(seconds: float) -> str:
    """Say that a rule took longer than it may for all contacts, and what to do."""
    return (
        f"its rule takes longer than {seconds:g} s for all contacts: write it flatter or split it, as lists inside one "
        "another take the number of a contact's events to the power of their depth; if there are that many contacts, "
        "raise RAPPORT_RULE_REBUILD_SECONDS"
    )
