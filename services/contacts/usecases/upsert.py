"""Upserts: one, a batch, or a part of an import; a handful of statements for any number of contacts."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from itertools import chain
from uuid import UUID

from sqlalchemy import Connection

from services.contacts.domain.contact import Contact, Draft
from services.contacts.domain.errors import IdentitiesConflict, Refused
from services.contacts.domain.identity import Identity
from services.contacts.domain.merging import DecisionKey, Outcome, Upserts
from services.contacts.models import kit
from services.contacts.store import consents, contacts
from services.contacts.store.writing import Raced, write
from services.contacts.usecases import events, registry
from services.contacts.usecases.newcomers import NewcomersText
from services.kit import outbox
from services.kit.access.scope import EVERYTHING
from services.kit.errors import FailedPrecondition, InvalidArgument
from services.kit.names import format_name, new_id
from services.kit.runtime import Runtime

# Takes the index of a draft and why it is refused; raises, or returns so that the others go on.
Refuse = Callable[[int, Exception], None]


def upsert_contact(runtime: Runtime, draft: Draft) -> tuple[Contact, Outcome]:
    """Upsert one contact and return it as stored; raises FailedPrecondition (IDENTITY_CONFLICT)."""

    def work(connection: Connection) -> tuple[Contact, Outcome]:
        upserts, outcomes = apply(connection, runtime, [draft], raise_for(lambda index: "contact"))
        outcome = outcomes[0]
        assert outcome is not None
        save(connection, upserts)
        return upserts.contact(outcome.contact_id), outcome

    return write(runtime.db, work)


def batch_upsert_contacts(runtime: Runtime, drafts: Sequence[Draft]) -> list[Outcome]:
    """Upsert contacts in one transaction, all or none; raises what upsert_contact does, naming the item."""

    def work(connection: Connection) -> list[Outcome]:
        upserts, outcomes = apply(connection, runtime, drafts, raise_for(lambda index: f"contacts[{index}]"))
        save(connection, upserts)
        return [outcome for outcome in outcomes if outcome is not None]

    return write(runtime.db, work)


def apply(
    connection: Connection,
    runtime: Runtime,
    drafts: Sequence[Draft],
    refuse: Refuse,
    *,
    lock: bool = True,
    owners: Mapping[Identity, UUID] | None = None,
) -> tuple[Upserts, list[Outcome | None]]:
    """Work out a batch against what is stored; nothing is written yet.

    lock: keep others from changing the contacts of the batch until the transaction ends, as `save` needs; owners: of
    the identities, when they were looked up already.
    Returns the writes to be done and what became of each draft, None for a refused one. Raises Raced when
    another transaction moved an identity meanwhile.
    """
    now = runtime.clock.now()
    if owners is None:
        owners = contacts.find_owners(connection, chain.from_iterable(draft.identities for draft in drafts))
    keys, types = set(owners.values()), registry.of(runtime.db).types(connection)
    stored = (
        contacts.lock_many(connection, keys, types, EVERYTHING)
        if lock
        else contacts.get_many(connection, keys, types, EVERYTHING)
    )
    for identity, owner in owners.items():
        if owner not in stored or identity not in stored[owner].identities:
            raise Raced
    recorded = consents.find_recorded(connection, _told(drafts, owners))
    upserts = Upserts(owners, stored, now, new_id, recorded)
    outcomes: list[Outcome | None] = []
    for index, draft in enumerate(drafts):
        try:
            outcomes.append(upserts.apply(draft))
        except (IdentitiesConflict, Refused) as error:
            refuse(index, error)
            outcomes.append(None)
    return upserts, outcomes


def _told(drafts: Sequence[Draft], owners: Mapping[Identity, UUID]) -> set[DecisionKey]:
    """Return the decisions with a time of their own of contacts that exist, which may be recorded already."""
    return {
        (owners[identity], wish.channel, wish.topic, wish.decide_time, wish.granted)
        for draft in drafts
        for wish in draft.consents
        if wish.decide_time is not None
        for identity in draft.identities
        if identity in owners
    }


def save(connection: Connection, upserts: Upserts, newcomers: NewcomersText | None = None) -> None:
    """Write what `apply` worked out, and its events; newcomers: new contacts beside them."""
    now = upserts.now
    if newcomers is not None:
        newcomers.insert(connection)
    contacts.insert(connection, upserts.created.values())
    contacts.claim(connection, upserts.claims, newcomers.claims if newcomers is not None else ())
    contacts.update(connection, upserts.updated.values())
    consents.insert(connection, upserts.decisions, now)
    event = events.ContactEvents(now)
    made = [event.changed(one, created=True) for one in upserts.created.values()]
    made.extend(event.changed(one, created=False) for one in upserts.updated.values())
    outbox.append(connection, kit.outbox, made, record_time=now)


def raise_for(path: Callable[[int], str]) -> Refuse:
    """Return a function that refuses the whole batch for one draft, naming it by its path in the request."""

    def refuse(index: int, error: Exception) -> None:
        where = path(index)
        if isinstance(error, Refused):
            raise InvalidArgument.field(f"{where}.{error.field}" if error.field else where, str(error))
        assert isinstance(error, IdentitiesConflict)
        names = [format_name("contacts", str(owner)) for owner in error.owners]
        raise FailedPrecondition(
            f"{where}: its identities belong to different contacts, {' and '.join(names)}; "
            "move an identity by UpdateContact first",
            reason="IDENTITY_CONFLICT",
            metadata={"item": where, "contacts": ",".join(names)},
        )

    return refuse
