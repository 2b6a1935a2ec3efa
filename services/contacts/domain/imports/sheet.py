"""What the rows of a batch say, column by column."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, TypeVar
from uuid import UUID

from services.contacts.domain.attributes import Value
from services.contacts.domain.consents import Decision, Wish, decide
from services.contacts.domain.contact import Draft
from services.contacts.domain.identity import Identity

V = TypeVar("V")
# By type and source: which contact each value belongs to.
OwnersByKind = Mapping[tuple[int, str], Mapping[str, UUID]]
_NOBODYS: Mapping[str, UUID] = {}


@dataclass(slots=True)
class IdentityColumn:
    """Hold the identities of one type and source that the rows name, in normal form."""

    type: int
    source: str
    values: list[str | None]


@dataclass(slots=True)
class Stored:
    """Hold of a contact what a sheet can change: its plain fields in the order of the sheet's.

    The others are empty unless the sheet tells of them.
    """

    fields: Sequence[Any]
    attributes: Mapping[str, Value] = field(default_factory=dict)
    tags: Collection[str] = ()
    consents: Mapping[str, Decision] = field(default_factory=dict)


@dataclass(slots=True)
class Sheet:
    """Hold drafts by column; each list has one value a row, None where the row says nothing.

    fields: plain fields by name; identities in the order of their columns, each row has at least one; attributes by
    id; a list of consents for each channel and topic. Equal values of a column may be one object: they are not to be
    changed.
    """

    size: int
    fields: dict[str, list[Any]]
    identities: list[IdentityColumn]
    attributes: dict[str, list[Value | None]] = field(default_factory=dict)
    tags: list[list[str] | None] | None = None
    consents: list[list[Wish | None]] = field(default_factory=list)
    create_times: list[datetime | None] | None = None

    def draft(self, row: int) -> Draft:
        """Return what one row says."""
        return Draft(
            {name: value for name, values in self.fields.items() if (value := values[row]) is not None},
            {name: value for name, values in self.attributes.items() if (value := values[row]) is not None},
            (self.tags[row] or ()) if self.tags is not None else (),
            [
                Identity(one.type, one.source, value)
                for one in self.identities
                if (value := one.values[row]) is not None
            ],
            [wish for wishes in self.consents if (wish := wishes[row]) is not None],
            self.create_times[row] if self.create_times is not None else None,
        )

    def select(self, rows: Sequence[int]) -> Sheet:
        """Return the sheet of some rows, in their order."""

        def some(values: list[V]) -> list[V]:
            return [values[row] for row in rows]

        return Sheet(
            len(rows),
            {name: some(values) for name, values in self.fields.items()},
            [IdentityColumn(one.type, one.source, some(one.values)) for one in self.identities],
            {name: some(values) for name, values in self.attributes.items()},
            some(self.tags) if self.tags is not None else None,
            [some(wishes) for wishes in self.consents],
            some(self.create_times) if self.create_times is not None else None,
        )

    @property
    def extras(self) -> list[str]:
        """Return what the rows tell of beside plain fields and identities."""
        given = {"attributes": self.attributes, "tags": self.tags, "consents": self.consents}
        return [name for name, columns in given.items() if columns]

    def named(self) -> dict[tuple[int, str], set[str]]:
        """Return the identities that the rows name: values by type and source."""
        groups: dict[tuple[int, str], set[str]] = {}
        for one in self.identities:
            groups.setdefault((one.type, one.source), set()).update(filter(None, one.values))
        return groups

    def strangers(self, owners: OwnersByKind) -> list[int]:
        """Return the rows that name no identity with an owner and none that another row names.

        Each of them stands for a new contact of its own, whatever the others say.
        """
        known: set[int] = set()
        for key, values in self.named().items():
            columns = [one.values for one in self.identities if (one.type, one.source) == key]
            telling = set(owners.get(key, ()))
            if sum(len(column) - column.count(None) for column in columns) > len(values):
                times = Counter(value for column in columns for value in column if value is not None)
                telling.update(value for value, count in times.items() if count > 1)
            if telling:
                for column in columns:
                    known.update(row for row, value in enumerate(column) if value in telling)
        return [row for row in range(self.size) if row not in known]

    def owners_of(self, row: int, owners: OwnersByKind) -> set[UUID | None]:
        """Return the contacts to which the identities of a row belong, and None when one is nobody's."""
        return {
            owners.get((one.type, one.source), _NOBODYS).get(value)
            for one in self.identities
            if (value := one.values[row]) is not None
        }

    def owned(self, rows: Sequence[int], owners: OwnersByKind) -> dict[Identity, UUID]:
        """Return the identities of some rows that have an owner."""
        return {
            Identity(one.type, one.source, value): owner
            for one in self.identities
            if (owned := owners.get((one.type, one.source)))
            for row in rows
            if (value := one.values[row]) is not None and (owner := owned.get(value)) is not None
        }

    def says_news(self, row: int, stored: Stored, now: datetime) -> bool:
        """Tell whether a row changes the contact to which all its identities belong."""
        for values, present in zip(self.fields.values(), stored.fields, strict=True):
            if (value := values[row]) is not None and value != present:
                return True
        for name, stated in self.attributes.items():
            if (value := stated[row]) is not None and value != stored.attributes.get(name):
                return True
        if self.tags is not None and not set(self.tags[row] or ()).issubset(stored.tags):
            return True
        return any(
            decide(wish, stored.consents.get(f"{wish.channel}_{wish.topic}"), now) is not None
            for wishes in self.consents
            if (wish := wishes[row]) is not None
        )
