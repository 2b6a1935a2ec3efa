"""The header of a file, and how its rows become drafts.

Rows are taken by the batch and read column by column: the cells of a column all go through one function, and those that
a file repeats are read once.
"""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from datetime import datetime
from itertools import repeat
from typing import Any

from services.contacts.domain.attributes import Attribute
from services.contacts.domain.contact import MOST_ATTRIBUTES, MOST_IDENTITIES, Draft
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

    def drafts(self, rows: Sequence[_Cells]) -> list[Draft | RowRefused]:
        """Return what each row says, or why it cannot be taken; empty cells say nothing."""
        width = len(self.header)
        result: list[Draft | RowRefused | None] = [
            None if len(cells) == width else _misfit(cells, width) for cells in rows
        ]
        places = [index for index, one in enumerate(result) if one is None]
        fitting = rows if len(places) == len(rows) else [rows[index] for index in places]
        drafts = self._fill(fitting)
        if len(places) == len(rows):
            return drafts
        for index, draft in zip(places, drafts, strict=True):
            result[index] = draft
        return [one for one in result if one is not None]

    def _fill(self, rows: Sequence[_Cells]) -> list[Draft | RowRefused]:
        cells = list(zip(*rows, strict=True))
        if not cells:
            return []
        problems: dict[int, list[tuple[str, str]]] = {}
        names: list[str] = []
        fields: list[list[Any]] = []
        identities: list[list[Any]] = []
        others: list[tuple[Target, list[Any]]] = []
        for index, target in self._targets:
            values = target.values(cells[index])
            if Refused in set(map(type, values)):
                for row, value in enumerate(values):
                    if isinstance(value, Refused):
                        problems.setdefault(row, []).append((self.header[index], str(value)))
            if target.part == "field":
                names.append(target.name)
                fields.append(values)
            elif target.part == "identity":
                identities.append(values)
            else:
                others.append((target, values))
        drafts = [
            Draft(
                {name: value for name, value in zip(names, said, strict=True) if value is not None},
                {},
                (),
                [one for one in known if one is not None],
                [],
            )
            for said, known in zip(
                zip(*fields, strict=True) if fields else repeat((), len(rows)),
                zip(*identities, strict=True),
                strict=True,
            )
        ]
        for target, values in others:
            for draft, value in zip(drafts, values, strict=True):
                if value is not None:
                    _put(draft, target, value)
        return [
            draft if row not in problems and draft.identities else _refusal(problems.get(row, []))
            for row, draft in enumerate(drafts)
        ]


def attribute_names(header: _Cells, mapping: Mapping[str, str]) -> set[str]:
    """Return the ids of all custom attributes that the columns of a file name."""
    cells = [cell.strip() for cell in header]
    fields = [mapping.get(cell, cell).strip() for cell in cells]
    return {field.removeprefix("attributes.") for field in fields if field.startswith("attributes.")}


def _put(draft: Draft, target: Target, value: Any) -> None:
    match target.part:
        case "attribute":
            draft.attributes[target.name] = value
        case "tags":
            draft.tags = value
        case "consent":
            draft.consents.append(value)
        case "create_time":
            draft.create_time = value
        case "place" if not isinstance(value, Refused):
            draft.fields["latitude"], draft.fields["longitude"] = value


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
