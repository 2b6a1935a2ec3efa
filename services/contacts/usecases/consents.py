"""Recording and reading decisions on whether contacts may be written to."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from uuid import UUID

from sqlalchemy import Connection

from services.contacts.domain.consents import Decision, Wish
from services.contacts.domain.merging import Upserts
from services.contacts.store import consents as store
from services.contacts.store import contacts
from services.contacts.store.consents import Place
from services.contacts.store.writing import write
from services.contacts.usecases import registry
from services.contacts.usecases.absent import absent
from services.contacts.usecases.upsert import save
from services.kit import context
from services.kit.access.scope import Scope
from services.kit.names import new_id
from services.kit.runtime import Runtime


def record(runtime: Runtime, wishes: Sequence[tuple[UUID, Wish]]) -> None:
    """Record decisions of contacts within the caller's scope, all or none; raises NotFound that names the contact."""

    def work(connection: Connection) -> None:
        def missing(key: UUID) -> None:
            raise absent(connection, key)

        record_on(connection, runtime, wishes, missing, context.scope())

    write(runtime.db, work)


def record_on(
    connection: Connection,
    runtime: Runtime,
    wishes: Sequence[tuple[UUID, Wish]],
    missing: Callable[[UUID], None],
    scope: Scope,
) -> None:
    """Record decisions in the caller's transaction; `missing` is told of those that the scope does not hold."""
    now = runtime.clock.now()
    by_contact: dict[UUID, list[Wish]] = {}
    for key, wish in wishes:
        by_contact.setdefault(key, []).append(wish)
    stored = contacts.lock_many(connection, by_contact, registry.of(runtime.db).types(connection), scope)
    told = {
        (key, wish.channel, wish.topic, wish.decide_time, wish.granted)
        for key, wish in wishes
        if wish.decide_time is not None
    }
    upserts = Upserts({}, stored, now, new_id, store.find_recorded(connection, told))
    for key, wanted in by_contact.items():
        if key in stored:
            upserts.record(key, wanted)
        else:
            missing(key)
    save(connection, upserts)


def page(runtime: Runtime, contact_id: UUID, after: Place | None, limit: int) -> tuple[list[Decision], bool]:
    """Return decisions of a contact within the caller's scope, newest first, and whether there are more.

    Raises NotFound.
    """
    with runtime.db.read() as connection:
        scope = context.scope()
        found = store.page(connection, contact_id, after, limit + 1)
        if (not found or not scope.everything) and contacts.missing(connection, [contact_id], scope):
            raise absent(connection, contact_id)
    return found[:limit], len(found) > limit
