"""Which rows of a batch are new contacts, which say nothing new, and which must be worked out one after the other."""

from __future__ import annotations

from dataclasses import dataclass
from uuid import UUID

from sqlalchemy import Connection

from services.contacts.domain.identity import Identity
from services.contacts.domain.imports.sheet import OwnersByKind, Sheet
from services.contacts.store import contacts
from services.contacts.usecases import registry
from services.kit.runtime import Runtime


@dataclass(frozen=True, slots=True)
class Sorted:
    """Hold the rows of a sheet by what is to be done with them.

    strangers: each is a new contact, whatever the other rows say; idle: each leaves its contact as it is, and so does
    every other row of that contact; others; owners: of the identities of these.
    """

    strangers: list[int]
    idle: list[int]
    others: list[int]
    owners: dict[Identity, UUID]


def sort_out(connection: Connection, runtime: Runtime, sheet: Sheet) -> Sorted:
    """Sort the rows of a sheet by what is stored at this moment."""
    owners = contacts.find_owners_by_kind(connection, sheet.named())
    strangers = sheet.strangers(owners)
    if len(strangers) == sheet.size:
        return Sorted(strangers, [], [], {})
    alone = set(strangers)
    rest = [row for row in range(sheet.size) if row not in alone]
    idle = _idle(connection, runtime, sheet, owners, rest)
    done = set(idle)
    others = [row for row in rest if row not in done]
    return Sorted(strangers, idle, others, sheet.owned(others, owners))


def _idle(
    connection: Connection, runtime: Runtime, sheet: Sheet, owners: OwnersByKind, rows: list[int]
) -> list[int]:
    sole: dict[int, UUID] = {}
    news: set[UUID | None] = set()
    for row in rows:
        every = sheet.owners_of(row, owners)
        if len(every) == 1 and (owner := every.pop()) is not None:
            sole[row] = owner
        else:
            # It gives one of them another identity, or is refused.
            news |= every
    types = registry.of(runtime.db).types(connection)
    stored = contacts.stored_parts(connection, set(sole.values()), list(sheet.fields), sheet.extras, types)
    now = runtime.clock.now()
    for row, owner in sole.items():
        if owner not in news and (owner not in stored or sheet.says_news(row, stored[owner], now)):
            news.add(owner)
    return [row for row, owner in sole.items() if owner not in news]
