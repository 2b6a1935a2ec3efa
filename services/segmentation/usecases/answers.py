"""What plugins say about contacts, put where the SQL of rules reads it."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from uuid import UUID

from rapport_sdk import Profile
from sqlalchemy import Connection, Select

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
from services.segmentation.store import bounds, leaves

PYTHON_BATCH = 500
SQL_SECONDS = 30.0
SECONDS_FOR_ALL = 600.0


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
) -> Answers:
    """Ask plugins about contacts, as the transaction at hand sees them; one that fails spoils only its own answers."""
    answers = Answers()
    for wanted in calls:
        try:
            answers.given[wanted] = list(_ask_some(service, connection, wanted, contact_ids, now))
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
    service: Service, connection: Connection, wanted: Call, contact_ids: Sequence[UUID], now: datetime
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
        yield from service.plugins.matches(name, params, profiles, now)


def fill(connection: Connection, calls: Sequence[PluginCall], answers: Answers) -> None:
    """Put the answers to the calls of a statement where it reads them, in place of others."""
    leaves.clear(connection)
    for item in calls:
        given = answers.given.get((item.function, item.params), ())
        leaves.put(connection, item.number, _rows(given))


def fill_for_all(
    service: Service,
    connection: Connection,
    rule: CompiledRule,
    now: datetime,
    *,
    timeout: float = SECONDS_FOR_ALL,
    rule_seconds: float | None = None,
) -> bool:
    """Put the answers that a rule needs where a statement reads them; returns whether all are there.

    SQL answers for all contacts at once. What only Python can answer is asked after it, and of those contacts alone for
    whom the rest of the rule leaves the rule unknown. timeout: seconds for each call; rule_seconds: for the rest of the
    rule, where the session does not bound it. Raises TooSlow, and PluginError, unless the call is then unknown; the
    answers of an installed plugin that are not there must be asked for again.
    """
    complete = True
    rules = service.catalog().rules
    leaves.clear(connection)
    for item in sorted(rule.plugin_calls, key=lambda call: _is_python(rules.get(call.function))):
        record = rules.get(item.function)
        try:
            # A failure in the midst takes back the answers before it.
            with connection.begin_nested():
                if record is not None and _is_python(record):
                    find_undecided(connection, rule.undecided_select, now, rule_seconds)
                    ask_undecided(service, connection, record, item, now, timeout, _reader(connection, now))
                else:
                    leaves.put(connection, item.number, _rows(_ask_all(service, item, now, timeout)))
        except PluginError as error:
            if not unknown_when_gone(service, (item.function, item.params), error):
                raise
            complete &= item.function not in rules
    return complete


def find_undecided(
    connection: Connection, undecided: Select[Any], at: datetime, rule_seconds: float | None
) -> None:
    """Note of whom plugins must be asked, within seconds where the session does not bound it; raises TooSlow."""
    with nullcontext() if rule_seconds is None else bounds.within(connection, rule_seconds):
        leaves.find_undecided(connection, undecided, at)


def _is_python(record: RuleRecord | None) -> bool:
    return record is not None and not record.has_sql


def _rows(answers: Iterable[Answer]) -> Iterator[tuple[UUID, str, datetime | None]]:
    return ((one.contact_id, json.dumps(one.value), one.next_change) for one in answers)


def _ask_all(service: Service, item: PluginCall, now: datetime, timeout: float) -> Iterator[Answer]:
    compiled = service.plugins.compile_sql(item.function, item.params)
    # Through a connection of its own, as the caller's is busy taking in the answers.
    yield from run_plugin_select(service.db.engine, compiled, now=now, timeout=timeout)


ReadProfiles = Callable[[Sequence[UUID], RuleRecord], Sequence[Profile]]
"""Reads the profiles of some contacts, with the events that a rule declares."""


def _reader(connection: Connection, now: datetime) -> ReadProfiles:
    return lambda some, record: read_profiles(connection, some, record.events, now=now)


def ask_undecided(
    service: Service,
    connection: Connection,
    record: RuleRecord,
    item: PluginCall,
    now: datetime,
    timeout: float,
    read: ReadProfiles,
) -> None:
    """Ask the Python form of a rule about those whom `leaves.find_undecided` noted, in batches.

    timeout: seconds for all of it. Raises PluginError, and PluginTimeout when it takes longer.
    """
    until = time.monotonic() + timeout
    while some := leaves.take_undecided(connection, PYTHON_BATCH):
        if time.monotonic() >= until:
            raise PluginTimeout(
                record.plugin, item.function, f"took longer than {timeout:g} s for all contacts"
            )
        answers = service.plugins.matches(item.function, item.params, read(some, record), now)
        leaves.put(connection, item.number, _rows(answers))
