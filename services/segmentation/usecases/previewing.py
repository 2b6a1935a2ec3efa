"""Evaluation of a rule over all contacts as of a time, without storing anything."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from sqlalchemy import Connection
from sqlalchemy.exc import DBAPIError
from sqlalchemy.sql.selectable import FromClause

from services.kit import context
from services.kit.errors import FailedPrecondition, InvalidArgument, ResourceExhausted
from services.kit.plugins import PluginTimeout
from services.segmentation.context import Service
from services.segmentation.rules import CompiledRule
from services.segmentation.rules.tables import membership, profile
from services.segmentation.store import evaluation
from services.segmentation.usecases.answers import ask, fill
from services.segmentation.usecases.defining import compile_new, load
from services.segmentation.usecases.history import past_relations
from services.segmentation.usecases.past_answers import ask_past
from services.segmentation.usecases.rebuilding import compile_followed, rule_of
from services.segmentation.usecases.selecting import select_members

LONGEST_SECONDS = 20.0
_LONGER = (
    "the rule takes longer than {:g} s over all contacts: give it a narrower time window, or save it as a segment, "
    "which has no such limit"
)
_LONGER_FOR_SOME = (
    "the rule takes longer than {:g} s over these contacts: ask about fewer, or save it as a segment"
)


@dataclass(frozen=True)
class Found:
    """Tell for how many contacts a rule is TRUE, of how many, and some of them."""

    members: int
    contacts: int
    sample: list[UUID]
    as_of: datetime


def evaluate_rule(
    service: Service, *, rule: str = "", segment: str = "", as_of: datetime | None = None, sample: int = 0
) -> Found:
    """Evaluate a rule, or a segment's newest one; raises ResourceExhausted (RULE_TOO_COSTLY), FailedPrecondition
    (BROKEN_RULE) and what `count` raises.
    """
    with snapshot(service) as connection:
        if segment:
            found = load(connection, segment)
            compiled = compile_followed(service, connection, rule_of(connection, found, found.version))
        else:
            compiled = compile_new(service, connection, rule, "rule")
        return count(service, connection, compiled, as_of, sample)


def match_contacts(
    service: Service, rule: str, contact_ids: Sequence[UUID], as_of: datetime | None = None
) -> list[UUID]:
    """Return those of some contacts for whom a rule is TRUE now, or at another time, in order.

    Raises InvalidArgument (INVALID_RULE), FailedPrecondition (PLUGIN_FAILED, BEFORE_RETENTION, NO_PAST_ANSWER),
    ResourceExhausted (RULE_TOO_COSTLY).
    """
    now, past = _instant(service, as_of)
    with snapshot(service, _LONGER_FOR_SOME) as connection:
        compiled = compile_new(service, connection, rule, "rule")
        if not contact_ids:
            return []
        relations: tuple[FromClause, FromClause] = (profile, membership)
        if past:
            relations = past_relations(service, connection, compiled, now, among=contact_ids)
        if compiled.plugin_calls:
            calls = [(call.function, call.params) for call in compiled.plugin_calls]
            answers = (ask_past if past else ask)(service, connection, calls, contact_ids, now)
            if answers.failed:
                problem = next(iter(answers.failed.values()))
                raise FailedPrecondition(f"the rule cannot be evaluated: {problem}", reason="PLUGIN_FAILED")
            fill(connection, compiled.plugin_calls, answers)
        return evaluation.matching(connection, compiled, *relations, contact_ids, now)


@contextmanager
def snapshot(service: Service, longer: str = _LONGER) -> Iterator[Connection]:
    """Lend a connection that sees the database at one moment, for a bounded time; what it writes is rolled back.

    longer: what is said when the time is over, with its seconds to be filled in.
    """
    options = service.db.engine.execution_options(isolation_level="REPEATABLE READ")
    seconds = _seconds()
    with options.connect() as connection:
        connection.exec_driver_sql(f"SET LOCAL statement_timeout = {max(1, round(seconds * 1000))}")
        try:
            yield connection
        except DBAPIError as error:
            if getattr(error.orig, "sqlstate", None) == "57014":
                raise too_costly(longer.format(seconds)) from error
            raise
        except PluginTimeout as error:
            raise too_costly(longer.format(seconds)) from error
        finally:
            connection.rollback()


def _seconds() -> float:
    """Return how long work for a call may last."""
    left = context.remaining()
    return LONGEST_SECONDS if left is None else min(LONGEST_SECONDS, left * 0.9)


def too_costly(message: str) -> ResourceExhausted:
    """Return the error for work that takes longer than the server allows."""
    return ResourceExhausted(message, reason="RULE_TOO_COSTLY")


def count(
    service: Service, connection: Connection, compiled: CompiledRule, as_of: datetime | None, sample: int
) -> Found:
    """Count the contacts for which a rule is TRUE at a time, or now.

    Raises PluginError, FailedPrecondition (BEFORE_RETENTION, NO_PAST_ANSWER).
    """
    now, past = _instant(service, as_of)
    select, _ = select_members(service, connection, compiled, now, past=past, timeout=_seconds())
    members, contacts, ids = evaluation.count(connection, select, now, sample)
    return Found(members, contacts, ids, now)


def _instant(service: Service, as_of: datetime | None) -> tuple[datetime, bool]:
    """Return the time that is asked about, and whether it is over."""
    present = service.clock.now()
    now = as_of or present
    if not 1001 <= now.year <= 8998:
        raise InvalidArgument.field("as_of_time", f"must lie between the years 1001 and 8998, got {now}")
    return now, now < present
