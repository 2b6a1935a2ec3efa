"""The header of a file, and how its rows become drafts.

Rows are taken by the batch and read column by column: the cells of a column all go through one function, and those that
a file repeats are read once.
"""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any

from services.contacts.domain.attributes import Attribute
from services.contacts.domain.contact import MOST_ATTRIBUTES, MOST_IDENTITIES
from services.contacts.domain.errors import Refused
from services.contacts.domain.imports.errors import LONGEST_REASON, HeaderRefused
from services.contacts.domain.imports.fields import (
    FieldReader,
    Target,
    describe_fields,
    is_identity,
    misspelt_channel,
    nearest_field,
)
from services.contacts.domain.imports.sheet import IdentityColumn, Sheet

_Cells = Sequence[str]
_SHOWN = 20


class RowRefused(ValueError):
    """Report a row that cannot be taken: the first bad column, and all that is wrong."""

    def __init__(self, column: str, reason: str) -> None:
        super().__init__(reason)
        self.column = column


class Columns:
    """Turn the rows of one file into drafts.

    header: the cells of its first row; mapping: header cell -> field, an empty field passes the column over;
    columns that it does not name must be called like a field. Raises HeaderRefused naming the columns that are
    missing, unknown or given twice.
    """

    def __init__(
        self,
        header: _Cells,
        mapping: Mapping[str, str],
        definitions: Mapping[str, Attribute],
        default_region: str,
        now: datetime,
    ) -> None:
        reader = FieldReader(default_region, definitions, now)
        self.header = [cell.strip() for cell in header]
        problems: list[str] = []
        unknown: list[str] = []
        fields = _fields(self.header, mapping, reader, problems, unknown)
        self._targets: list[tuple[int, Target]] = []
        for index, name in enumerate(self.header):
            field = fields.get(name, "")
            if not field and (name in mapping or name not in fields):
                continue
            target = reader.target(field)
            if target is None:
                problems.append(f"{_shown(name, field)} is unknown{_hint(field, definitions)}")
                unknown.append(name)
            elif near := misspelt_channel(field, fields.values()):
                own = field.split(":")[1]
                problems.append(
                    f"{_shown(name, field)} is for no known channel: did you mean {near}? "
                    f"If a plugin's channel is called so, name its addresses in a column external:{own} too"
                )
                unknown.append(name)
            else:
                self._targets.append((index, target))
        self._check_number("identity", MOST_IDENTITIES, problems)
        self._check_number("attribute", MOST_ATTRIBUTES, problems)
        if not any(is_identity(field) for field in fields.values()):
            problems.append(
                "a column that identifies the contact is missing: email, phone, zalo, qq, wecom, web_visitor "
                "or external:<source>"
            )
        if problems:
            if len(self.header) == 1 and (parted := next((c for c in ";\t|" if c in self.header[0]), "")):
                raise HeaderRefused(
                    f"the first line {self.header[0][:60]!r} is a single column: are the columns separated by "
                    f"{parted!r}? Save the file with commas"
                )
            shown = problems[:_SHOWN]
            if len(problems) > _SHOWN:
                shown.append(f"and {len(problems) - _SHOWN} more")
            raise HeaderRefused("; ".join([*_remedy(unknown), *shown, *_known(unknown)]))

    def _check_number(self, part: str, most: int, problems: list[str]) -> None:
        number = sum(1 for _, target in self._targets if target.part == part)
        if number > most:
            problems.append(f"{number} columns go to one contact's {part} values; at most {most} may")

    def read(self, rows: Sequence[_Cells]) -> tuple[Sheet, list[int], dict[int, RowRefused]]:
        """Return what the rows say, which rows the sheet holds, and why the others cannot be taken.

        Rows are known by their index; empty cells say nothing.
        """
        width = len(self.header)
        refused = {index: _misfit(cells, width) for index, cells in enumerate(rows) if len(cells) != width}
        places = [index for index in range(len(rows)) if index not in refused]
        cells = list(zip(*(rows[index] for index in places), strict=True)) or [()] * width
        problems: dict[int, list[tuple[str, str]]] = {}
        read: list[tuple[Target, list[Any]]] = []
        for index, target in self._targets:
            values = target.values(cells[index])
            if Refused in set(map(type, values)):
                for row, value in enumerate(values):
                    if isinstance(value, Refused):
                        problems.setdefault(row, []).append((self.header[index], str(value)))
            read.append((target, values))
        sheet = _sheet(len(places), read)
        for row in _unidentified(sheet):
            problems.setdefault(row, [])
        if problems:
            refused.update((places[row], _refusal(found)) for row, found in problems.items())
            sound = [row for row in range(sheet.size) if row not in problems]
            places = [places[row] for row in sound]
            sheet = sheet.select(sound)
        return sheet, places, refused


def _sheet(size: int, read: Iterable[tuple[Target, list[Any]]]) -> Sheet:
    sheet = Sheet(size, {}, [])
    for target, values in read:
        match target.part:
            case "field":
                sheet.fields[target.name] = values
            case "identity":
                sheet.identities.append(IdentityColumn(target.kind, target.name, values))
            case "attribute":
                sheet.attributes[target.name] = values
            case "tags":
                sheet.tags = values
            case "consent":
                sheet.consents.append(values)
            case "create_time":
                sheet.create_times = values
            case "place":
                # A refused one is cut out with its row.
                for index, name in enumerate(("latitude", "longitude")):
                    sheet.fields[name] = [one[index] if isinstance(one, tuple) else None for one in values]
    return sheet


def _unidentified(sheet: Sheet) -> Iterator[int]:
    """Yield the rows that name no identity."""
    if all(None in one.values for one in sheet.identities):
        for row, values in enumerate(zip(*(one.values for one in sheet.identities), strict=True)):
            if not any(values):
                yield row


def attribute_names(header: _Cells, mapping: Mapping[str, str]) -> set[str]:
    """Return the ids of all custom attributes that the columns of a file name."""
    cells = [cell.strip() for cell in header]
    fields = [mapping.get(cell, cell).strip() for cell in cells]
    return {field.removeprefix("attributes.") for field in fields if field.startswith("attributes.")}


def _misfit(cells: _Cells, width: int) -> RowRefused:
    few = "few" if len(cells) < width else "many"
    return RowRefused("", f"has too {few} columns: {len(cells)} instead of {width}")


def _refusal(problems: Sequence[tuple[str, str]]) -> RowRefused:
    if not problems:
        return RowRefused("", "has no e-mail address, phone number or other id by which to know the contact")
    first, *others = problems
    text = "; ".join([first[1], *(f"{column}: {reason}" for column, reason in others)])
    return RowRefused(first[0], text[:LONGEST_REASON])


def _remedy(unknown: Sequence[str]) -> list[str]:
    """Say first what helps: the end of a long text may be cut off."""
    if not unknown:
        return []
    name = unknown[0][:60]
    leave, to = shlex.quote(f"{name}="), shlex.quote(f"{name}=display_name")
    return [f"map a column to nothing to leave it out (-c {leave}), or to a field (-c {to})"]


def _known(unknown: Sequence[str]) -> list[str]:
    return [f"fields are {describe_fields()}"] if unknown else []


def _hint(name: str, definitions: Mapping[str, Attribute]) -> str:
    near = nearest_field(name, definitions)
    return f": did you mean {near}?" if near else ""


def _fields(
    header: _Cells, mapping: Mapping[str, str], reader: FieldReader, problems: list[str], unknown: list[str]
) -> dict[str, str]:
    """Return the field of each column, noting columns and fields that are missing, unknown or given twice.

    unknown: takes the columns that are called like no field.
    """
    twice = sorted({name for name in header if header.count(name) > 1})
    problems.extend(f"the column {name[:60]!r} is given twice" for name in twice)
    problems.extend(
        f"the column {name[:60]!r} is missing in the file" for name in sorted(set(mapping) - set(header))
    )
    strangers = sorted(
        {name for name in header if mapping and name not in mapping and reader.target(name) is None}
    )
    problems.extend(
        f"the column {name[:60]!r} is called like no field{_hint(name, reader.definitions)}"
        for name in strangers
    )
    unknown.extend(strangers)
    fields = {name: mapping.get(name, name).strip() for name in header if name not in strangers}
    given = [field for field in fields.values() if field]
    repeated = sorted({field for field in given if given.count(field) > 1} - set(twice))
    problems.extend(f"the field {field[:60]!r} is given twice" for field in repeated)
    return fields


def _shown(name: str, field: str) -> str:
    if name == field:
        return f"the column {name[:60]!r}"
    return f"the field {field[:60]!r} of the column {name[:60]!r}"
