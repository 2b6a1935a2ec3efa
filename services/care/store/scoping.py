"""Whose cases and tasks are whose: an agent's own are those it works on, its teams' are in the queues it works for."""

from __future__ import annotations

import sqlalchemy as sa
from sqlalchemy import ColumnElement, Connection

from services.care.models import case, queue, task
from services.kit.access.scope import Reach, Scope


def visible(scope: Scope) -> ColumnElement[bool]:
    """Return the condition that a case is within a scope."""
    return _within(scope, case)


def visible_task(scope: Scope) -> ColumnElement[bool]:
    """Return the condition that a task is within a scope."""
    return _within(scope, task)


def _within(scope: Scope, table: sa.Table) -> ColumnElement[bool]:
    if scope.everything:
        return sa.true()
    # A caller without a name owns nothing; no agent has an empty id.
    own = table.c.assignee == scope.user
    if scope.reach is Reach.OWN:
        return own
    return sa.or_(own, table.c.queue_id.in_(_queues(scope)))


def may_manage(connection: Connection, key: str, scope: Scope) -> bool:
    """Tell whether an agent is within a scope: the caller itself, or whoever works for a queue of its teams."""
    if scope.everything or key == scope.user:
        return True
    if scope.reach is Reach.OWN:
        return False
    together = sa.exists().where(queue.c.id.in_(_queues(scope)), queue.c.agents.contains([key]))
    return bool(connection.scalar(sa.select(together)))


def _queues(scope: Scope) -> sa.Select[tuple[str]]:
    """Return the queues of the caller's teams: those it works for, and those that its identity names."""
    listed = queue.alias("listed")
    return sa.select(listed.c.id).where(
        sa.or_(listed.c.agents.contains([scope.user]), listed.c.id.in_(scope.teams))
    )
