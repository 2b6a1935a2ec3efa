"""Erases people again who were erased after a backup was made: in all services, before any of them runs."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import ExitStack
from uuid import UUID

import sqlalchemy as sa
from rapport.events.v1.events_pb2 import Event

from services.campaign.usecases import parting as campaign
from services.care.usecases import parting as care
from services.contacts.models import contact, kit
from services.contacts.usecases import parting as contacts
from services.kit.bus.batch import EventBatch
from services.kit.config import Settings
from services.kit.events import store
from services.kit.runtime import Runtime, make_runtime
from services.sales.usecases import parting as sales
from services.segmentation.context import release, service_of
from services.segmentation.usecases import projection

_ERASED = "contact.erased"
_AT_ONCE = 100


def _in_segmentation(runtime: Runtime, batch: EventBatch) -> None:
    projection.take_events(service_of(runtime), batch)


CONSUMERS: Mapping[str, Callable[[Runtime, EventBatch], None]] = {
    "sales.let_contacts_go": sales.let_go,
    "segmentation.on_contacts": _in_segmentation,
    "campaign.let_contacts_go": campaign.let_go,
    "care.let_contacts_go": care.let_go,
}
"""The consumers that take contacts out of their services, and what does it."""


def erase_again(settings: Settings, urls: Mapping[str, str], erased: Collection[UUID]) -> int:
    """Erase those of the contacts that the databases, {service: URL}, have, and return how many these were.

    Each service hears of it as its worker would, and records that, so it has no second effect when the events come by
    their streams. Erasures that were in the backup but had not reached every service are brought there as well.
    """
    with ExitStack() as stack:
        runtimes = {name: _runtime(stack, settings, name, url) for name, url in urls.items()}
        runtime = runtimes["contacts"]
        with runtime.db.read() as connection:
            known = list(
                connection.scalars(
                    sa.select(contact.c.id)
                    .where(contact.c.id == sa.any_(sa.cast(list(erased), sa.ARRAY(sa.Uuid))))
                    .order_by(contact.c.id)
                )
            )
        for key in known:
            with runtime.db.transaction() as connection:
                contacts.erase(connection, runtime, key)
        for events in _told(runtime):
            for consumer, handle in CONSUMERS.items():
                handle(runtimes[consumer.partition(".")[0]], EventBatch(consumer, events))
    return len(known)


def _told(runtime: Runtime) -> list[Sequence[Event]]:
    """Return the erasures in the event log, in batches; those that have no position yet get theirs first."""
    with runtime.db.transaction() as connection:
        store.ensure_stream(connection, kit)
        while store.assign_positions(connection, kit, 5_000):
            pass
        head = store.read_head(connection, kit)
        events = store.read_events(
            connection,
            kit,
            "contacts",
            after=head.purged,
            until=head.position,
            types=[_ERASED],
            limit=1_000_000,
        )
    return [events[at : at + _AT_ONCE] for at in range(0, len(events), _AT_ONCE)]


def _runtime(stack: ExitStack, settings: Settings, service: str, url: str) -> Runtime:
    # Nothing is signed here, and a key that is not there must not keep anyone from erasing.
    key = settings.secret_key or secrets.token_hex()
    values = {f"{service}_database_url": url, "secret_key": key}
    made = make_runtime(service, "restore", settings.model_copy(update=values))
    stack.callback(made.close)
    if service == "segmentation":
        stack.callback(release, made)
    return made
