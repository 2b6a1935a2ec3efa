"""Contacts that a sheet makes, column by column: a million objects would cost more than all that is done with them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from services.contacts.domain.attributes import Value
from services.contacts.domain.consents import Decision, Wish, decide
from services.contacts.domain.contact import EMPTY, name_of
from services.contacts.domain.identity import IdentityType
from services.contacts.domain.imports.sheet import IdentityColumn, Sheet


@dataclass(slots=True)
class Newcomers:
    """Hold new contacts at their first revision; each list has a value for each of them.

    ids as text; now: the business time; fields: those plain ones that the sheet names, and the display name;
    create_times, attributes, tags, consents: None when none has any. A list of consents holds the decisions in force
    as a contact does; those who agree share one mapping.
    """

    sheet: Sheet
    ids: list[str]
    now: datetime
    fields: dict[str, list[Any]]
    create_times: list[datetime] | None
    attributes: Sequence[Mapping[str, Value]] | None
    tags: list[tuple[str, ...]] | None
    consents: list[Mapping[str, Decision]] | None

    @property
    def identities(self) -> list[IdentityColumn]:
        """Return the identities, of which each contact has at least one."""
        return self.sheet.identities

    def flags(self, kind: IdentityType) -> Sequence[bool]:
        """Tell of each contact whether it has an identity of a type."""
        columns = [one.values for one in self.identities if one.type == kind]
        if not columns:
            return [False] * len(self.ids)
        if any(None not in values for values in columns):
            return [True] * len(self.ids)
        return [any(values) for values in zip(*columns, strict=True)]

    def decisions(self) -> Iterable[tuple[str, Decision]]:
        """Yield the decisions with the ids of their contacts."""
        for key, known in zip(self.ids, self.consents or (), strict=False):
            for decision in known.values():
                yield key, decision


def make_many(sheet: Sheet, ids: list[str], now: datetime) -> Newcomers:
    """Return the contacts that `make` makes of the drafts of a sheet, with their consents.

    The columns of a file hold less than a contact may, so nothing is refused.
    """
    fields = {name: _filled(values, EMPTY[name]) for name, values in sheet.fields.items()}
    fields["display_name"] = _names(fields, sheet.size)
    return Newcomers(
        sheet,
        ids,
        now,
        fields,
        None if sheet.create_times is None else _filled(sheet.create_times, now),
        None if not sheet.attributes else _by_name(sheet.attributes, sheet.size),
        None if sheet.tags is None else [tuple(sorted(set(tags))) if tags else () for tags in sheet.tags],
        None if not sheet.consents else _in_force(sheet.consents, now),
    )


def _filled(values: list[Any], empty: Any) -> list[Any]:
    return [empty if value is None else value for value in values] if None in values else values


def _names(fields: Mapping[str, list[Any]], size: int) -> list[str]:
    """Return the display names, those that are not given made from the parts of the name."""
    given = fields.get("display_name")
    if given is not None and all(given):
        return given
    parts = [
        fields.get(name, [EMPTY[name]] * size)
        for name in ("kind", "given_name", "family_name", "language_code")
    ]
    made = [name_of(*each) for each in zip(*parts, strict=True)]
    return made if given is None else [said or name for said, name in zip(given, made, strict=True)]


def _by_name(columns: Mapping[str, list[Value | None]], size: int) -> Sequence[Mapping[str, Value]]:
    found: list[dict[str, Value]] = [{} for _ in range(size)]
    for name, values in columns.items():
        for attributes, value in zip(found, values, strict=True):
            if value is not None:
                attributes[name] = value
    return found


def _in_force(columns: Sequence[list[Wish | None]], now: datetime) -> list[Mapping[str, Decision]]:
    known: dict[tuple[bool | None, ...], Mapping[str, Decision]] = {}
    found = []
    for wishes in zip(*columns, strict=True):
        # All else is one and the same down a column.
        key = tuple([None if wish is None else wish.granted for wish in wishes])
        force = known.get(key)
        if force is None:
            decisions = [decide(wish, None, now) for wish in wishes if wish is not None]
            force = known[key] = {one.key: one for one in decisions if one is not None}
        found.append(force)
    return found
