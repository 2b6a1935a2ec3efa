"""Recording and reading what contacts did."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

from sqlalchemy import Connection

from services.contacts.domain.activities import Activity
from services.contacts.models import kit
from services.contacts.store import activities as store
from services.contacts.store import contacts
from services.contacts.store.writing import write
from services.contacts.usecases import events, registry
from services.contacts.usecases.absent import absent
from services.kit import context, outbox
from services.kit.runtime import Runtime


def record(runtime: Runtime, activities: Sequence[Activity]) -> int:
    """Record activities, all or none, but for those that are recorded already; return how many were new.

    Raises NotFound that names a contact that is unknown or out of the caller's scope.
    """

    def work(connection: Connection) -> int:
        # Kept until the end, or one that is merged or erased at this moment would leave its activity behind.
        unknown = contacts.missing(
            connection, {one.contact_id for one in activities}, context.scope(), keep=True
        )
        for one in activities:
            if one.contact_id in unknown:
                raise absent(connection, one.contact_id)
        known = store.find_recorded(connection, {_key(one) for one in activities if one.external_id})
        fresh = []
        for one in activities:
            if one.external_id:
                if _key(one) in known:
                    continue
                known.add(_key(one))
            fresh.append(one)
        now = runtime.clock.now()
        store.insert(connection, fresh, now)
        outbox.append(connection, kit.outbox, map(events.activity_recorded, fresh), record_time=now)
        return len(fresh)

    return write(runtime.db, work)


def _key(activity: Activity) -> tuple[str, str]:
    return activity.source, activity.external_id


def page(
    runtime: Runtime, contact_id: UUID, after: tuple[datetime, UUID] | None, limit: int
) -> tuple[list[Activity], bool]:
    """Return activities of a contact within the caller's scope, newest first, and whether there are more.

    Raises NotFound.
    """
    with runtime.db.read() as connection:
        types = registry.of(runtime.db).activity_types_on(connection)
        scope = context.scope()
        found = store.page(connection, contact_id, types, after, limit + 1)
        if (not found or not scope.everything) and contacts.missing(connection, [contact_id], scope):
            raise absent(connection, contact_id)
    return found[:limit], len(found) > limit
