"""What plugins say about contacts, put where the SQL of rules reads it."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial
from itertools import islice
from types import MappingProxyType
from uuid import UUID

from rapport_sdk import Profile
from sqlalchemy import Connection

from services.kit.plugins import (
    Answer,
    PluginError,
    PluginTimeout,
    PluginUnavailable,
    RuleRecord,
    read_profiles,
    run_plugin_select,
)
from services.segmentation.context import Service
from services.segmentation.domain import chunks
from services.segmentation.rulebook import Call
from services.segmentation.rules import CompiledRule, PluginCall
from services.segmentation.store import bounds, leaves, sweeps
from services.segmentation.store.ahead import Question
from services.segmentation.usecases.progress import UNWATCHED, Watch

PYTHON_BATCH = 500
SQL_SECONDS = 30.0
SECONDS_FOR_ALL = 600.0
TOLD_AT_ONCE = 5_000
_UNDECIDED = "finding of whom plugins must be asked"


@dataclass
class Answers:
    """Hold the answers to some calls about some contacts, and why others failed.

    doubtful: whether an installed plugin that failed left answers unknown, as its rule declares: they are asked for
    again.
    """

    given: dict[Call, list[Answer]] = field(default_factory=dict)
    failed: dict[Call, str] = field(default_factory=dict)
    doubtful: bool = False

    def next_changes(self) -> list[tuple[UUID, datetime]]:
        """Return when answers change by time alone."""
        return [
            (answer.contact_id, answer.next_change)
            for answers in self.given.values()
            for answer in answers
            if answer.next_change is not None
        ]


def ask(
    service: Service,
    connection: Connection,
    calls: Iterable[Call],
    contact_ids: Sequence[UUID],
    now: datetime,
    watch: Watch = UNWATCHED,
) -> Answers:
    """Ask plugins about contacts, as the transaction at hand sees them; one that fails spoils only its own answers."""
    answers = Answers()
    for wanted in calls:
        try:
            answers.given[wanted] = list(_ask_some(service, connection, wanted, contact_ids, now, watch))
        except PluginError as error:
            if unknown_when_gone(service, wanted, error):
                answers.given[wanted] = []
                answers.doubtful |= wanted[0] in service.catalog().rules
            else:
                answers.failed[wanted] = error.message
    return answers


def unknown_when_gone(service: Service, wanted: Call, error: PluginError) -> bool:
    """Tell whether the answers to a call that failed are unknown, as its rule declares, and no failure."""
    record = service.catalog().rules.get(wanted[0])
    # A rule that is missing altogether is still in the plan only when its record says that it is then unknown.
    return record.when_gone == "unknown" if record is not None else isinstance(error, PluginUnavailable)


def _ask_some(
    service: Service,
    connection: Connection,
    wanted: Call,
    contact_ids: Sequence[UUID],
    now: datetime,
    watch: Watch,
) -> Iterator[Answer]:
    name, params = wanted
    record = service.catalog().rules.get(name)
    if record is None or record.has_sql:
        compiled = service.plugins.compile_sql(name, params)
        try:
            yield from run_plugin_select(
                connection, compiled, now=now, contact_ids=contact_ids, timeout=SQL_SECONDS
            )
        except PluginError as error:
            service.plugins.failed(name, error.problem)
            raise
        return
    for some in chunks(contact_ids, PYTHON_BATCH):
        profiles = read_profiles(connection, some, record.events, now=now)
        yield from watch.unless_stopped(partial(service.plugins.matches, name, params, profiles, now))


def fill(connection: Connection, calls: Sequence[PluginCall], answers: Answers) -> None:
    """Put the answers to the calls of a statement where it reads them, in place of others."""
    leaves.clear(connection)
    for item in calls:
        given = answers.given.get((item.function, item.params), ())
        leaves.put(connection, item.number, rows_of(given))


def fill_for_all(
    service: Service,
    connection: Connection,
    rule: CompiledRule,
    now: datetime,
    *,
    timeout: float = SECONDS_FOR_ALL,
    budget: bounds.Budget = bounds.UNBOUNDED,
    watch: Watch = UNWATCHED,
    asked: Mapping[int, Question] = MappingProxyType({}),
) -> bool:
    """Put the answers that a rule needs where a statement reads them; returns whether all are there.

    SQL answers for all contacts at once. What only Python can answer is asked after it, and of those contacts alone for
    whom the rest of the rule leaves the rule unknown. timeout: seconds for all calls together; budget: for the rest of
    the rule; asked: what was asked ahead, by the number of the call. Raises TooSlow, and PluginError, unless the call
    is then unknown; the answers of an installed plugin that are not there must be asked for again.
    """
    complete = True
    rules = service.catalog().rules
    until = time.monotonic() + timeout
    leaves.clear(connection)
    for item in sorted(rule.plugin_calls, key=lambda call: is_python(rules.get(call.function))):
        record = rules.get(item.function)
        try:
            # A failure in the midst takes back the answers before it.
            with connection.begin_nested():
                if record is not None and is_python(record):
                    if item.number in asked:
                        asked[item.number].take(connection, now)
                    _find_undecided(connection, rule, item.number, now, budget, watch)
                    ask_undecided(
                        service,
                        connection,
                        record,
                        item,
                        now,
                        Patience(timeout, until),
                        lambda some, record: read_profiles(connection, some, record.events, now=now),
                        watch,
                    )
                else:
                    leaves.put(connection, item.number, rows_of(_ask_all(service, item, now, until, watch)))
        except PluginError as error:
            if not unknown_when_gone(service, (item.function, item.params), error):
                raise
            complete &= item.function not in rules
    return complete


def _find_undecided(
    connection: Connection,
    rule: CompiledRule,
    number: int,
    now: datetime,
    budget: bounds.Budget,
    watch: Watch,
) -> None:
    """Note of whom a plugin must be asked; raises TooSlow."""
    leaves.clear_undecided(connection)
    watch.add(0, _UNDECIDED)
    watch.more(sweeps.contacts(connection))
    undecided, cut = rule.undecided_given(), sweeps.Cut()
    while (some := cut.next(connection)) is not None:
        with budget.spent_on(connection):
            leaves.find_undecided(connection, undecided, now, some)
        watch.add(some.contacts, _UNDECIDED)
    leaves.strike_answered(connection, number)


def is_python(record: RuleRecord | None) -> bool:
    return record is not None and not record.has_sql


def rows_of(answers: Iterable[Answer]) -> Iterator[tuple[UUID, str, datetime | None]]:
    return ((one.contact_id, json.dumps(one.value), one.next_change) for one in answers)


def _ask_all(
    service: Service, item: PluginCall, now: datetime, until: float, watch: Watch
) -> Iterator[Answer]:
    compiled = service.plugins.compile_sql(item.function, item.params)
    # In whole seconds, as a failure tells them.
    left = max(1, math.ceil(until - time.monotonic()))
    # Through a connection of its own, as the caller's is busy taking in the answers.
    answers = run_plugin_select(
        service.db.engine, compiled, now=now, timeout=left, watched=watch.interruptible
    )
    stage = f"taking in what {item.function} answers"
    watch.add(0, stage)
    with closing(answers):
        while some := list(islice(answers, TOLD_AT_ONCE)):
            watch.more(len(some))
            watch.add(len(some), stage)
            yield from some


ReadProfiles = Callable[[Sequence[UUID], RuleRecord], Sequence[Profile]]
"""Reads the profiles of some contacts, with the events that a rule declares."""


@dataclass(frozen=True)
class Patience:
    """Say how many seconds plugins have for all contacts, and when they are over by `time.monotonic`."""

    seconds: float
    until: float


def ask_undecided(
    service: Service,
    connection: Connection,
    record: RuleRecord,
    item: PluginCall,
    now: datetime,
    patience: Patience,
    read: ReadProfiles,
    watch: Watch = UNWATCHED,
) -> None:
    """Ask the Python form of a rule about those whom `leaves.find_undecided` noted, in batches.

    Raises PluginError, and PluginTimeout when it takes longer than there is patience.
    """
    stage = f"asking {item.function}"
    watch.more(leaves.count_undecided(connection))
    watch.add(0, stage)
    while some := leaves.take_undecided(connection, PYTHON_BATCH):
        if time.monotonic() >= patience.until:
            raise PluginTimeout(
                record.plugin, item.function, f"took longer than {patience.seconds:g} s for all contacts"
            )
        profiles = read(some, record)
        ask = partial(service.plugins.matches, item.function, item.params, profiles, now)
        leaves.put(connection, item.number, rows_of(watch.unless_stopped(ask)))
        watch.add(len(some), stage)
