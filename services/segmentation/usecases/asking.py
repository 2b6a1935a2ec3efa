"""Plugins that are asked before a rebuild takes its lock: that may last, and contacts go on changing meanwhile."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

from sqlalchemy import Connection

from services.kit.plugins import PluginError, PluginTimeout, RuleRecord, read_profiles
from services.segmentation.context import Service
from services.segmentation.domain import ActiveRule
from services.segmentation.rules import CompiledRule, PluginCall
from services.segmentation.store import ahead, bounds, locks, sweeps
from services.segmentation.store.ahead import Question
from services.segmentation.usecases.answers import PYTHON_BATCH, is_python, rows_of, unknown_when_gone
from services.segmentation.usecases.progress import Watch

ROUNDS = 10
FEW = 2_000
SECONDS = 3600.0
SLICE_SECONDS = 30.0


@dataclass(frozen=True)
class _Call:
    """Hold a call that only Python can answer."""

    item: PluginCall
    record: RuleRecord
    question: Question


def questions(
    service: Service, connection: Connection, rule: ActiveRule, compiled: CompiledRule
) -> dict[int, Question]:
    """Return what may be asked ahead for a segment's rule, by the number of the call."""
    if not ahead.is_safe(connection):
        return {}
    return {call.item.number: call.question for call in _calls(service, rule, compiled)}


def needs_python(service: Service, compiled: CompiledRule) -> bool:
    """Tell whether a rule asks what only Python can answer."""
    rules = service.catalog().rules
    return any(is_python(rules.get(item.function)) for item in compiled.plugin_calls)


def _calls(service: Service, rule: ActiveRule, compiled: CompiledRule) -> list[_Call]:
    found = []
    for item in compiled.plugin_calls:
        record = service.catalog().rules.get(item.function)
        if record is not None and is_python(record):
            asked = f"{rule.version} {item.function} {record.version}"
            found.append(_Call(item, record, Question(rule.number, item.number, asked)))
    return found


def ask_ahead(
    service: Service, connection: Connection, rule: ActiveRule, compiled: CompiledRule, watch: Watch
) -> None:
    """Ask what only Python can answer, about those whom the rest of a rule leaves open, on an idle connection.

    Whoever changes meanwhile is asked about again in the next round, until few are left for the rebuild itself. Answers
    from before that still hold are kept. Raises TooSlow, and PluginError, unless the call is then unknown.
    """
    calls = _calls(service, rule, compiled)
    with connection.begin():
        if not calls or not ahead.is_safe(connection):
            return
        for call in calls:
            call.question.tidy(connection, service.clock.now())
    work = _Asking(service, connection, compiled, calls, watch)
    for _ in range(ROUNDS):
        if work.ask_all() <= FEW:
            return


class _Asking:
    def __init__(
        self,
        service: Service,
        connection: Connection,
        compiled: CompiledRule,
        calls: Sequence[_Call],
        watch: Watch,
    ) -> None:
        self._service = service
        self._connection = connection
        self._compiled = compiled
        self._calls = list(calls)
        self._watch = watch
        self._budget = bounds.Budget(service.limits.unhurried)
        self._until = time.monotonic() + SECONDS

    def ask_all(self) -> int:
        """Ask about everybody who has no answer yet; returns of how many."""
        asked = 0
        cut = sweeps.Cut(seconds=SLICE_SECONDS)
        while True:
            with self._connection.begin():
                some = cut.next(self._connection)
            if some is None:
                return asked
            for call in list(self._calls):
                try:
                    asked += self._ask(call, some)
                except PluginError as error:
                    if not unknown_when_gone(self._service, (call.item.function, call.item.params), error):
                        raise
                    # The rebuild will meet the same failure, and knows what to do.
                    self._calls.remove(call)

    def _ask(self, call: _Call, of: sweeps.Slice) -> int:
        """Ask one call about those of a slice, and whoever else is waiting."""
        connection, question = self._connection, call.question
        now = self._service.clock.now()
        undecided = self._compiled.undecided_given(ahead.answers(question.segment_number, now))
        self._watch.add(0, "finding of whom plugins must be asked")
        with connection.begin():
            sweeps.in_order(connection)
            with self._budget.spent_on(connection):
                self._watch.more(question.want(connection, undecided, now, of))
            waiting = question.waiting(connection, None, 1)
        if not waiting:
            return 0
        with connection.begin():
            # Whoever is changing contacts did not see that their answers are awaited.
            locks.own_membership(connection)
        asked, stage = 0, f"asking {call.item.function}"
        self._watch.add(0, stage)
        after = None
        while True:
            with connection.begin():
                some = question.waiting(connection, after, PYTHON_BATCH)
                now = self._service.clock.now()
                profiles = read_profiles(connection, some, call.record.events, now=now) if some else []
            if not some:
                return asked
            if time.monotonic() >= self._until:
                raise PluginTimeout(
                    call.record.plugin, call.item.function, f"took longer than {SECONDS:g} s for all contacts"
                )
            ask = partial(self._service.plugins.matches, call.item.function, call.item.params, profiles, now)
            answers = self._watch.unless_stopped(ask)
            with connection.begin():
                # No segment is changed as a whole just now, which would lock contacts in another order.
                locks.share_membership(connection)
                question.give(connection, rows_of(answers))
            after = some[-1]
            asked += len(some)
            self._watch.add(len(some), stage)
