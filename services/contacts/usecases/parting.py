"""Contacts that are no more: merged into another one, or erased."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from sqlalchemy import Connection

from services.contacts.domain.absorbing import absorb
from services.contacts.domain.contact import Contact, touched
from services.contacts.domain.errors import Refused
from services.contacts.models import kit
from services.contacts.store import contacts as store
from services.contacts.store import gone
from services.contacts.store.gone import Removed
from services.contacts.usecases import events, registry
from services.contacts.usecases.absent import absent
from services.kit import outbox
from services.kit.errors import Aborted, FailedPrecondition, InvalidArgument
from services.kit.names import format_name
from services.kit.runtime import Runtime


@dataclass(frozen=True, slots=True)
class Receipt:
    """Tell what an erasure deleted: of which contact, when, and which others had been merged into it."""

    contact_id: UUID
    time: datetime
    absorbed: tuple[UUID, ...]
    removed: Removed


def merge(
    connection: Connection,
    runtime: Runtime,
    survivor: UUID,
    absorbed: UUID,
    *,
    survivor_etag: str = "",
    absorbed_etag: str = "",
) -> Contact:
    """Make one contact of two, in the caller's transaction; returns the one that remains.

    It takes over identities, consents with their history, tags, activities, and values that it has not. Raises NotFound
    (also CONTACT_MERGED), InvalidArgument for a contact and itself, Aborted (ETAG_MISMATCH) for an etag that is given
    and stale, FailedPrecondition (MERGED_TOO_LARGE) when one contact cannot hold all of it.
    """
    if survivor == absorbed:
        raise InvalidArgument.field("absorbed", "must be another contact than the survivor")
    now = runtime.clock.now()
    found = store.seize_many(connection, [survivor, absorbed], registry.of(runtime.db).types(connection))
    for key, etag in ((survivor, survivor_etag), (absorbed, absorbed_etag)):
        if key not in found:
            raise absent(connection, key)
        _check_etag(found[key], etag)
    remaining, other = found[survivor], found[absorbed]
    try:
        after = touched(absorb(remaining, other), now)
    except Refused as error:
        raise FailedPrecondition(
            f"{format_name('contacts', survivor)} {error}", reason="MERGED_TOO_LARGE"
        ) from None
    store.release(connection, absorbed, other.identities)
    store.claim(connection, [(one, survivor) for one in other.identities])
    gone.hand_over(connection, absorbed, survivor)
    gone.delete(connection, absorbed)
    gone.put(connection, absorbed, survivor, now)
    store.update(connection, [after])
    told = [
        events.contact_merged(other, survivor, now),
        events.contact_changed(after, created=False, now=now),
    ]
    outbox.append(connection, kit.outbox, told, record_time=now)
    return after


def erase(connection: Connection, runtime: Runtime, key: UUID, etag: str = "") -> Receipt:
    """Delete a contact and all that was recorded and told of it, in the caller's transaction.

    Raises NotFound (also CONTACT_MERGED), Aborted (ETAG_MISMATCH) for an etag that is given and stale.
    """
    now = runtime.clock.now()
    found = store.seize_many(connection, [key], registry.of(runtime.db).types(connection)).get(key)
    if found is None:
        raise absent(connection, key)
    _check_etag(found, etag)
    absorbed = gone.absorbed_by(connection, key)
    store.release(connection, key, found.identities)
    gone.delete(connection, key)
    removed = gone.forget(connection, key, absorbed, len(found.identities))
    gone.put(connection, key, None, now)
    outbox.append(connection, kit.outbox, [events.contact_erased(found, now)], record_time=now)
    return Receipt(key, now, tuple(absorbed), removed)


def _check_etag(contact: Contact, etag: str) -> None:
    if etag and etag != contact.etag:
        name = format_name("contacts", contact.id)
        raise Aborted(
            f"{name} has changed since it was read; read it again",
            metadata={"resource": name, "etag": contact.etag},
        )
