"""What plugins say about contacts, put where the SQL of rules reads it."""

from __future__ import annotations

import json
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from uuid import UUID

from sqlalchemy import Connection

from services.kit.plugins import (
    Answer,
    PluginError,
    PluginTimeout,
    PluginUnavailable,
    read_profiles,
    run_plugin_select,
)
from services.segmentation.context import Service
from services.segmentation.domain import chunks
from services.segmentation.rulebook import Call
from services.segmentation.rules import PluginCall
from services.segmentation.store import leaves
from services.segmentation.store.profiles import page_of_ids

PYTHON_BATCH = 500
SQL_SECONDS = 30.0
SQL_SECONDS_FOR_ALL = 600.0


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
            if _unknown_when_gone(service, wanted, error):
                answers.given[wanted] = []
                answers.doubtful |= wanted[0] in service.catalog().rules
            else:
                answers.failed[wanted] = error.message
    return answers


def _unknown_when_gone(service: Service, wanted: Call, error: PluginError) -> bool:
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
        leaves.put(
            connection,
            item.number,
            ((one.contact_id, json.dumps(one.value), one.next_change) for one in given),
        )


def fill_for_all(
    service: Service,
    connection: Connection,
    calls: Sequence[PluginCall],
    now: datetime,
    *,
    timeout: float = SQL_SECONDS_FOR_ALL,
) -> bool:
    """Put the answers about all contacts where a statement reads them; returns whether all are there.

    timeout: seconds for each rule. Raises PluginError, unless the rule is then unknown; the answers of an installed
    plugin that are not there must be asked for again.
    """
    complete = True
    leaves.clear(connection)
    for item in calls:
        wanted = (item.function, item.params)
        try:
            # A failure in the midst takes back the answers before it.
            with connection.begin_nested():
                found = _ask_all(service, connection, wanted, now, timeout)
                leaves.put(
                    connection,
                    item.number,
                    ((one.contact_id, json.dumps(one.value), one.next_change) for one in found),
                )
        except PluginError as error:
            if not _unknown_when_gone(service, wanted, error):
                raise
            complete &= wanted[0] not in service.catalog().rules
    return complete


def _ask_all(
    service: Service, connection: Connection, wanted: Call, now: datetime, timeout: float
) -> Iterator[Answer]:
    name, params = wanted
    record = service.catalog().rules.get(name)
    # Through connections of their own, as the caller's is busy taking in the answers.
    if record is None or record.has_sql:
        compiled = service.plugins.compile_sql(name, params)
        yield from run_plugin_select(service.db.engine, compiled, now=now, timeout=timeout)
        return
    until = time.monotonic() + timeout
    for some in _all_ids(service):
        if time.monotonic() >= until:
            raise PluginTimeout(record.plugin, name, f"took longer than {timeout:g} s for all contacts")
        profiles = read_profiles(service.db.engine, some, record.events, now=now)
        yield from service.plugins.matches(name, params, profiles, now)


def _all_ids(service: Service) -> Iterator[Sequence[UUID]]:
    after: UUID | None = None
    while True:
        with service.db.read() as connection:
            ids = page_of_ids(connection, after=after, limit=PYTHON_BATCH)
        if not ids:
            return
        yield ids
        after = ids[-1]
