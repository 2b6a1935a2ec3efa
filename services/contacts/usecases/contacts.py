"""Making, reading, changing and finding contacts."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import datetime
from uuid import UUID

from sqlalchemy import Connection

from services.contacts.domain.contact import Contact, Draft, make, touched
from services.contacts.domain.errors import Refused
from services.contacts.domain.identity import Identity
from services.contacts.domain.recipient import Recipient
from services.contacts.domain.updating import Update, retagged, updated
from services.contacts.models import kit
from services.contacts.store import contacts as store
from services.contacts.store.writing import write
from services.contacts.usecases import events, registry
from services.contacts.usecases.absent import absent
from services.contacts.usecases.owning import owned
from services.kit import context, outbox
from services.kit.access.scope import Scope
from services.kit.errors import Aborted, AlreadyExists, InvalidArgument, NotFound
from services.kit.names import format_name, new_id
from services.kit.runtime import Runtime


def create(connection: Connection, runtime: Runtime, draft: Draft) -> Contact:
    """Make a contact in the caller's transaction.

    Raises AlreadyExists (IDENTITY_TAKEN), PermissionDenied (OUT_OF_SCOPE).
    """
    now = runtime.clock.now()
    draft = owned(draft, context.scope())
    _check_free(connection, draft.identities, None)
    try:
        contact = make(draft, new_id(), now)
    except Refused as error:
        raise InvalidArgument.field(f"contact.{error.field}", str(error)) from None
    store.insert(connection, [contact])
    store.claim(connection, [(one, contact.id) for one in contact.identities])
    outbox.append(
        connection, kit.outbox, [events.contact_changed(contact, created=True, now=now)], record_time=now
    )
    return contact


def update(connection: Connection, runtime: Runtime, key: UUID, change: Update, etag: str) -> Contact:
    """Change a contact within the caller's scope, in its transaction; the caller may give it away.

    Raises NotFound, Aborted (ETAG_MISMATCH) when `etag` is given and stale, AlreadyExists (IDENTITY_TAKEN).
    """
    before = _lock(connection, runtime, key)
    if etag and etag != before.etag:
        name = format_name("contacts", key)
        raise Aborted(f"{name} has changed since it was read; read it again", metadata={"etag": before.etag})
    try:
        after = updated(before, change)
    except Refused as error:
        raise InvalidArgument.field(f"contact.{error.field}", str(error)) from None
    if after is before:
        return before
    old, new = set(before.identities), set(after.identities)
    _check_free(connection, [one for one in after.identities if one not in old], key)
    store.release(connection, key, old - new)
    store.claim(connection, [(one, key) for one in new - old])
    return _save(connection, runtime, after)


def modify_tags(runtime: Runtime, key: UUID, add: Collection[str], remove: Collection[str]) -> Contact:
    """Add and remove tags of a contact within the caller's scope; raises NotFound."""

    def work(connection: Connection) -> Contact:
        before = _lock(connection, runtime, key)
        try:
            after = retagged(before, add, remove)
        except Refused as error:
            raise InvalidArgument.field(error.field, str(error)) from None
        return before if after is before else _save(connection, runtime, after)

    return write(runtime.db, work)


def get(runtime: Runtime, key: UUID) -> Contact:
    """Return a contact within the caller's scope; raises NotFound."""
    with runtime.db.read() as connection:
        contact = store.get(connection, key, registry.of(runtime.db).types(connection), context.scope())
        if contact is None:
            raise absent(connection, key)
    return contact


def batch_get(runtime: Runtime, keys: Sequence[UUID]) -> list[Contact]:
    """Return contacts within the caller's scope in the order asked for.

    Raises NotFound that names the first missing one.
    """
    found = find(runtime, keys, context.scope())
    for key in keys:
        if key not in found:
            with runtime.db.read() as connection:
                raise absent(connection, key)
    return [found[key] for key in keys]


def find(runtime: Runtime, keys: Collection[UUID], scope: Scope) -> dict[UUID, Contact]:
    """Return those of the contacts that exist within a scope, by id."""
    with runtime.db.read() as connection:
        return store.get_many(connection, set(keys), registry.of(runtime.db).types(connection), scope)


def recipients(runtime: Runtime, keys: Collection[UUID], channel: str, topic: str) -> dict[UUID, Recipient]:
    """Return what is needed to write to those of the contacts that exist, by id."""
    with runtime.db.read() as connection:
        return store.recipients(
            connection, set(keys), channel, topic, registry.of(runtime.db).types(connection)
        )


def lookup(runtime: Runtime, identity: Identity) -> Contact:
    """Return the contact to whom an identity belongs, when it is within the caller's scope; raises NotFound."""
    # One snapshot: between two statements a merge could give the identity to another contact.
    with runtime.db.snapshot() as connection:
        key = store.find_owners(connection, [identity]).get(identity)
        types = registry.of(runtime.db).types(connection)
        contact = store.get(connection, key, types, context.scope()) if key else None
    if contact is None:
        raise NotFound("no contact has this identity", reason="IDENTITY_UNKNOWN")
    return contact


def page(
    runtime: Runtime, *, query: str, tag: str, after: tuple[datetime, UUID] | None, limit: int
) -> tuple[list[Contact], bool]:
    """Return contacts within the caller's scope in the order of their making, and whether there are more."""
    with runtime.db.read() as connection:
        types = registry.of(runtime.db).types(connection)
        found = store.page(
            connection, types, context.scope(), query=query, tag=tag, after=after, limit=limit + 1
        )
    return found[:limit], len(found) > limit


def count(runtime: Runtime) -> tuple[int, int]:
    """Return the numbers of contacts within the caller's scope and of the organisations among them."""
    with runtime.db.read() as connection:
        return store.count(connection, context.scope())


def _lock(connection: Connection, runtime: Runtime, key: UUID) -> Contact:
    types = registry.of(runtime.db).types(connection)
    contact = store.lock_many(connection, [key], types, context.scope()).get(key)
    if contact is None:
        raise absent(connection, key)
    return contact


def _save(connection: Connection, runtime: Runtime, changed: Contact) -> Contact:
    now = runtime.clock.now()
    contact = touched(changed, now)
    store.update(connection, [contact])
    outbox.append(
        connection, kit.outbox, [events.contact_changed(contact, created=False, now=now)], record_time=now
    )
    return contact


def _check_free(connection: Connection, identities: Sequence[Identity], key: UUID | None) -> None:
    owners = store.find_owners(connection, identities)
    for index, identity in enumerate(identities):
        owner = owners.get(identity)
        if owner is not None and owner != key:
            what = f"an identity (type {identity.type}, the {index + 1}. new one) belongs to "
            scope = context.scope()
            if not scope.everything and store.missing(connection, [owner], scope):
                # That it is taken cannot be kept from the caller; by whom can.
                raise AlreadyExists(
                    f"{what}a contact out of the caller's scope",
                    reason="IDENTITY_TAKEN",
                    metadata={"contact": ""},
                )
            name = format_name("contacts", owner)
            raise AlreadyExists(
                f"{what}{name}; upsert instead, or take it from there first",
                reason="IDENTITY_TAKEN",
                metadata={"contact": name},
            )
