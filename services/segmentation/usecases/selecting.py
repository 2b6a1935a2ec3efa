"""All contacts for whom a rule is TRUE at a time, with what plugins say of them."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Select

from services.segmentation.context import Service
from services.segmentation.rules import CompiledRule
from services.segmentation.store import bounds
from services.segmentation.usecases.answers import SECONDS_FOR_ALL, fill_for_all
from services.segmentation.usecases.history import past_relations
from services.segmentation.usecases.past_answers import fill_past
from services.segmentation.usecases.progress import UNWATCHED, Watch


def select_members(
    service: Service,
    connection: Connection,
    compiled: CompiledRule,
    at: datetime,
    *,
    past: bool,
    timeout: float = SECONDS_FOR_ALL,
    budget: bounds.Budget = bounds.UNBOUNDED,
    watch: Watch = UNWATCHED,
) -> tuple[Select[Any], bool]:
    """Return the SELECT of the contact_id of all for whom a rule is TRUE at a time; parameter now, which is that time.

    The answers of plugins that it reads lie ready in the transaction; returned is also whether all are there: those
    that failed may be unknown, as their rule declares. past: whether that time is over, as the caller saw on the clock,
    which goes on. timeout: seconds for all calls of plugins; budget: to find of whom plugins must be asked. Raises
    PluginError, TooSlow, FailedPrecondition (BEFORE_RETENTION, NO_PAST_ANSWER).
    """
    complete = True
    if not past:
        if compiled.plugin_calls:
            complete = fill_for_all(
                service, connection, compiled, at, timeout=timeout, budget=budget, watch=watch
            )
        return compiled.rebuild_select, complete
    relation, members = past_relations(service, connection, compiled, at)
    if compiled.plugin_calls:
        complete = fill_past(
            service,
            connection,
            compiled,
            at,
            relation,
            members,
            timeout=timeout,
            budget=budget,
            watch=watch,
        )
    return compiled.select_from(relation, members), complete
