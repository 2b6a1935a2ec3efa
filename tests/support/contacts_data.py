"""Contacts for tests: drafts, files, and imports done in this process."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any
from uuid import UUID

import sqlalchemy as sa
from rapport.contacts.v1 import contacts_pb2 as pb

from services.contacts.domain.contact import Contact, Draft
from services.contacts.domain.identity import Identity
from services.contacts.models import contact, identity, kit
from services.contacts.store import contacts as store
from services.contacts.usecases import import_run, imports, registry
from services.kit.access.scope import EVERYTHING
from services.kit.db import Database
from services.kit.names import parse_name
from services.kit.operations import OperationContext
from services.kit.operations import store as operations
from services.kit.runtime import Runtime


def email(name: str) -> Identity:
    """The identity of an e-mail address."""
    return Identity(1, "", f"{name}@example.test")


def external(key: str) -> Identity:
    """The identity in a shop."""
    return Identity(7, "shop", key)


def draft(*identities: Identity, **fields: Any) -> Draft:
    """What a caller says of a contact."""
    return Draft(fields=fields, identities=list(identities))


def every(runtime: Runtime) -> list[Contact]:
    """All contacts in the order of their making, after a check that both places agree on whose an identity is."""
    with runtime.db.read() as connection:
        types = registry.of(runtime.db).types(connection)
        found = store.page(connection, types, EVERYTHING, query="", tag="", after=None, limit=1_000_000)
        owned = {
            (Identity(row.type, row.source, row.value), row.contact_id)
            for row in connection.execute(sa.select(identity))
        }
    assert owned == {(one, held.id) for held in found for one in held.identities}
    return found


def count(db: Database) -> int:
    """How many contacts there are."""
    with db.read() as connection:
        return connection.execute(sa.select(sa.func.count()).select_from(contact)).scalar_one()


def written_events(db: Database) -> list[tuple[str, UUID | None, int, bytes]]:
    """All events: type, contact, revision, payload."""
    table = kit.outbox
    with db.read() as connection:
        query = sa.select(table.c.type, table.c.contact_id, table.c.revision, table.c.data).order_by(
            table.c.id
        )
        return [tuple(row) for row in connection.execute(query)]


def start_import(runtime: Runtime, data: bytes, *, piece: int = 1 << 20, **config: Any) -> str:
    """Start an import of a file sent in pieces, and return the operation's name."""
    pieces = (data[at : at + piece] for at in range(0, len(data), piece))
    return imports.start(runtime, pb.ImportContactsConfig(**config), pieces).name


def attempt(runtime: Runtime, name: str) -> OperationContext:
    """Begin an attempt of an operation, as a worker does."""
    with runtime.db.transaction() as connection:
        claimed = operations.claim(connection, kit, parse_name(name, "operations"))
    assert claimed is not None
    return OperationContext(runtime.db, kit, claimed)


def do_import(runtime: Runtime, data: bytes, **config: Any) -> tuple[pb.ImportContactsResult, str]:
    """Import a file from its beginning to its end; return the counts and the operation's name."""
    name = start_import(runtime, data, **config)
    return import_run.run(runtime, attempt(runtime, name)), name


def counts(result: pb.ImportContactsResult) -> tuple[int, int, int, int, int]:
    """Rows, created, updated, unchanged, refused."""
    return (
        result.row_count,
        result.created_count,
        result.updated_count,
        result.unchanged_count,
        result.error_count,
    )


def csv_lines(rows: Iterator[Mapping[str, str]] | list[Mapping[str, str]]) -> bytes:
    """A file of rows that all have the same columns and need no quotes."""
    listed = list(rows)
    lines = [",".join(listed[0]), *(",".join(row.values()) for row in listed)]
    return ("\n".join(lines) + "\n").encode()
