"""What plugins say about contacts as of a past time: only their Python form can be shown profiles of the past."""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from datetime import datetime
from uuid import UUID

from sqlalchemy import Connection
from sqlalchemy.sql.selectable import FromClause

from services.kit.errors import FailedPrecondition
from services.kit.plugins import PluginError, RuleRecord
from services.segmentation.context import Service
from services.segmentation.domain import chunks
from services.segmentation.rulebook import Call
from services.segmentation.rules import CompiledRule
from services.segmentation.store import bounds, leaves, past_profiles
from services.segmentation.usecases.answers import (
    PYTHON_BATCH,
    Answers,
    Patience,
    ask_undecided,
    unknown_when_gone,
)
from services.segmentation.usecases.progress import UNWATCHED, Watch


def ask_past(
    service: Service,
    connection: Connection,
    calls: Iterable[Call],
    contact_ids: Sequence[UUID],
    at: datetime,
) -> Answers:
    """Ask plugins about contacts as they were at a time; one that fails spoils only its own answers.

    at: within the retention of profiles. Raises FailedPrecondition (NO_PAST_ANSWER). A rule that is missing and
    declared unknown then has no answers.
    """
    answers = Answers()
    for wanted, record in _records(service, calls):
        name, params = wanted
        given = answers.given[wanted] = []
        if record is None:
            continue
        try:
            for some in chunks(contact_ids, PYTHON_BATCH):
                profiles = past_profiles.read(connection, some, record.events, at)
                given += service.plugins.matches(name, params, profiles, at)
        except PluginError as error:
            if unknown_when_gone(service, wanted, error):
                answers.given[wanted] = []
                answers.doubtful = True
            else:
                del answers.given[wanted]
                answers.failed[wanted] = error.message
    return answers


def fill_past(
    service: Service,
    connection: Connection,
    rule: CompiledRule,
    at: datetime,
    relation: FromClause,
    members: FromClause,
    *,
    timeout: float,
    budget: bounds.Budget = bounds.UNBOUNDED,
    watch: Watch = UNWATCHED,
) -> bool:
    """Put the answers of a past time that a rule needs where a statement reads them; returns whether all are there.

    relation, members: profiles and memberships of then. Asked about are those contacts alone for whom the rest of the
    rule leaves it unknown. timeout: seconds for each call; rule_seconds: for the rest of the rule, where the session
    does not bound it. Raises FailedPrecondition (NO_PAST_ANSWER), TooSlow, and PluginError unless the call is then
    unknown.
    """
    records = _records(service, ((item.function, item.params) for item in rule.plugin_calls))
    undecided = rule.undecided_from(relation, members)
    patience = Patience(timeout, time.monotonic() + timeout)
    complete = True
    leaves.clear(connection)
    for item, (wanted, record) in zip(rule.plugin_calls, records, strict=True):
        if record is None:
            continue
        try:
            # A failure in the midst takes back the answers before it.
            with connection.begin_nested():
                leaves.clear_undecided(connection)
                with budget.spent_on(connection):
                    leaves.find_undecided(connection, undecided, at)
                ask_undecided(
                    service,
                    connection,
                    record,
                    item,
                    at,
                    patience,
                    lambda some, record: past_profiles.read(connection, some, record.events, at),
                    watch,
                )
        except PluginError as error:
            if not unknown_when_gone(service, wanted, error):
                raise
            complete = False
    return complete


def _records(service: Service, calls: Iterable[Call]) -> list[tuple[Call, RuleRecord | None]]:
    """Return the rules that are called, None for one that is missing; raises for one that has only an SQL form."""
    rules = service.catalog().rules
    found = [(wanted, rules.get(wanted[0])) for wanted in calls]
    for (name, _), record in found:
        if record is not None and not record.has_python:
            raise FailedPrecondition(
                f"{name} of the plugin {record.plugin} cannot be asked about the past: it has no Python form, and its "
                "SQL form reads the profiles of today; ask about now, or about a rule without it",
                reason="NO_PAST_ANSWER",
                metadata={"plugin": record.plugin, "object": name},
            )
    return found
