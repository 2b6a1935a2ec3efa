"""Contacts that were merged into another one or erased, as services remember them that keep rows of contacts.

The table says of each contact that is gone who remains, at the end of all merges, or that nobody does. Who writes a row
of a contact shares a lock and looks there first; who lets contacts be gone owns it. So no row is written for a contact
just when its rows are moved or emptied, and the end is the same in whatever order events come.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

import sqlalchemy as sa
from rapport.contacts.v1 import events_pb2 as contact_events
from rapport.events.v1.events_pb2 import Event
from sqlalchemy import Connection, MetaData, Table
from sqlalchemy.dialects import postgresql as pg

from services.kit.errors import InvalidArgument
from services.kit.events.payload import unpack
from services.kit.locks import lock_key
from services.kit.names import format_name, parse_name

Parting = tuple[UUID, UUID | None]
"""A contact, and the one it was merged into, or None when it was erased."""
_PARTINGS = ("contact.merged", "contact.erased")
_LOCK = lock_key("contacts that are gone")


def gone_table(metadata: MetaData) -> Table:
    """Add the table to a service's metadata."""
    return Table(
        "contact_gone",
        metadata,
        sa.Column("contact_id", pg.UUID(as_uuid=True), primary_key=True),
        sa.Column(
            "into",
            pg.UUID(as_uuid=True),
            index=True,
            comment="the contact that remains, never itself gone; NULL when all was erased",
        ),
        sa.Column("time", sa.DateTime(timezone=True), nullable=False),
        comment="contacts that were merged into another one or erased",
    )


def is_erased(connection: Connection, metadata: MetaData, event: Event) -> bool:
    """Tell whether an event is about a contact that was erased here before, and tells of something else.

    Waits for whoever lets contacts be gone, who waits for this transaction from now on. False in a service without the
    table.
    """
    table = metadata.tables.get("contact_gone")
    if table is None or not event.contact or event.type in _PARTINGS:
        return False
    key = parse_name(event.contact, "contacts", "contact")
    return current(connection, table, [key])[key] is None


def current(connection: Connection, table: Table, contact_ids: Collection[UUID]) -> dict[UUID, UUID | None]:
    """Return for each contact the one that its rows are of: itself, who remains of it, or None for an erased one.

    None of them is gone a moment later: whoever lets it be waits for this transaction.
    """
    connection.exec_driver_sql(f"SELECT pg_advisory_xact_lock_shared({_LOCK})")
    return {key: key for key in contact_ids} | _targets(connection, table, contact_ids)


@dataclass(frozen=True)
class Parted:
    """Say who is newly gone.

    heirs: who remains of each, or None; erased: those of whom nobody remains, and those merged into them before.
    """

    heirs: Mapping[UUID, UUID | None]
    erased: Sequence[UUID]


def let_go(connection: Connection, table: Table, events: Iterable[Event], now: datetime) -> Parted:
    """Remember contacts that events say are gone; those that were before are left alone.

    Waits until nobody writes rows of contacts, and lets nobody do so until the transaction ends. Raises InvalidArgument
    (MERGE_CIRCLE, UNUSABLE_EVENT).
    """
    connection.exec_driver_sql(f"SELECT pg_advisory_xact_lock({_LOCK})")
    told = [_parting(event) for event in events]
    known = _targets(connection, table, {key for pair in told for key in pair if key is not None})
    heirs = heirs_of(told, known)
    erased = [key for key, heir in heirs.items() if heir is None]
    before = sa.select(table.c.contact_id).where(table.c.into.in_(erased))
    erased += connection.scalars(before)
    for key, heir in heirs.items():
        connection.execute(sa.update(table).where(table.c.into == key).values(into=heir))
        connection.execute(sa.insert(table).values(contact_id=key, into=heir, time=now))
    return Parted(heirs, erased)


def forget_told(connection: Connection, contact_ids: Collection[UUID]) -> None:
    """Delete what the kit keeps of erased contacts: events, dead letters, answers kept for repeated requests."""
    keys = {"keys": list(contact_ids)}
    for table in ("outbox", "dead_letter"):
        connection.exec_driver_sql(f"DELETE FROM {table} WHERE contact_id = ANY(%(keys)s::uuid[])", keys)
    for key in contact_ids:
        connection.exec_driver_sql(
            "DELETE FROM request_log WHERE position(convert_to(%(name)s, 'UTF8') IN response) > 0",
            {"name": format_name("contacts", key)},
        )


def heirs_of(told: Sequence[Parting], known: Mapping[UUID, UUID | None]) -> dict[UUID, UUID | None]:
    """Return who remains of each contact that is newly gone, at the end of all merges, or None.

    known: the same of those contacts that were gone before. The first that is told of a contact counts. Raises
    InvalidArgument (MERGE_CIRCLE).
    """
    fresh: dict[UUID, UUID | None] = {}
    for key, into in told:
        if key not in known:
            fresh.setdefault(key, into)
    after = {**known, **fresh}

    def end(start: UUID) -> UUID | None:
        key: UUID | None = start
        passed = set()
        while key is not None and key in after:
            if key in passed:
                name = format_name("contacts", start)
                raise InvalidArgument(
                    f"{name} would be merged into itself: its merges lead around a circle",
                    reason="MERGE_CIRCLE",
                    metadata={"contact": name},
                )
            passed.add(key)
            key = after[key]
        return key

    return {key: end(key) for key in fresh}


def _targets(connection: Connection, table: Table, keys: Collection[UUID]) -> dict[UUID, UUID | None]:
    if not keys:
        return {}
    rows = connection.exec_driver_sql(
        f'SELECT contact_id, "into" FROM {table.name} WHERE contact_id = ANY(%(keys)s::uuid[])',
        {"keys": list(keys)},
    )
    return {row[0]: row[1] for row in rows}


def _parting(event: Event) -> Parting:
    payload = unpack(event)
    key = parse_name(event.contact, "contacts", "contact")
    match payload:
        case contact_events.ContactMerged():
            return key, parse_name(payload.into, "contacts", "into")
        case contact_events.ContactErased():
            return key, None
    raise InvalidArgument(
        f"event {event.id} ({event.type} of {event.source}) holds a {payload.DESCRIPTOR.full_name}, "
        "which is not expected of it",
        reason="UNUSABLE_EVENT",
    )
