"""Which customers the cases and tasks within a scope are about."""

from __future__ import annotations

from uuid import UUID

import sqlalchemy as sa
from sqlalchemy import Connection

from services.care.domain.tasks import TaskState
from services.care.models import case, task
from services.care.store.scoping import visible, visible_task
from services.kit.access.scope import Scope


def is_concerned(connection: Connection, contact_id: UUID, scope: Scope) -> bool:
    """Tell whether any case, or a task that is open, within a scope is about a contact."""
    of_case = sa.exists().where(case.c.contact_id == contact_id, visible(scope))
    of_task = sa.exists().where(
        task.c.contact_id == contact_id, task.c.state == TaskState.OPEN, visible_task(scope)
    )
    return bool(connection.scalar(sa.select(sa.or_(of_case, of_task))))
