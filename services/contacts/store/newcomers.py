"""Writing many new contacts: their columns go to COPY as lines of text, without an object for each."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from typing import Any

from sqlalchemy import Connection

from services.contacts.domain.contact import EMPTY
from services.contacts.domain.newcomers import Newcomers
from services.contacts.domain.text import fold
from services.contacts.models import contact
from services.contacts.store import encoding
from services.contacts.store.contacts import claim_head
from services.contacts.store.encoding import to_json
from services.kit.db import copy_text, escaped

_NULL = "\\N"
_OTHERS = {"attributes": "{}", "tags": "{}", "consents": "{}"}


class ContactText:
    """Hold new contacts as COPY takes them, to be written at another time than they are made.

    claims: their identities, as `contacts.claim` takes them.
    """

    def __init__(self, newcomers: Newcomers) -> None:
        columns, constants = _columns(newcomers)
        self._names = ("id", *columns, *constants)
        tail = "\t".join(("", *constants.values())) + "\n"
        lines = map("\t".join, zip(newcomers.ids, *columns.values(), strict=True))
        self._text = tail.join([*lines, ""])
        self.claims = _claims(newcomers)

    def insert(self, connection: Connection) -> None:
        """Write the contacts, without their identities."""
        copy_text(connection, contact, self._names, self._text)


def _columns(newcomers: Newcomers) -> tuple[dict[str, list[str]], dict[str, str]]:
    """Return the columns that differ from contact to contact, as COPY takes them, and the values of all others."""
    columns = {name: _plain(name, values) for name, values in newcomers.fields.items()}
    columns["folded_name"] = escaped(_each(newcomers.fields["display_name"], fold))
    columns["identities"] = escaped(_identities(newcomers))
    now = newcomers.now.isoformat()
    constants = {"revision": "1", "update_time": now}
    if newcomers.create_times is None:
        constants["create_time"] = now
    else:
        columns["create_time"] = [one.isoformat() for one in newcomers.create_times]
    if newcomers.attributes is not None:
        columns["attributes"] = escaped(
            [to_json(encoding.values_to_json(one)) if one else "{}" for one in newcomers.attributes]
        )
    if newcomers.tags is not None:
        columns["tags"] = escaped(_each(newcomers.tags, _array))
    if newcomers.consents is not None:
        columns["consents"] = escaped(_consents(newcomers))
    for name, empty in {**EMPTY, **_OTHERS}.items():
        if name not in columns:
            (constants[name],) = _plain(name, [empty])
    return columns, constants


def _plain(name: str, values: list[Any]) -> list[str]:
    match EMPTY.get(name, ""):
        case str():
            return escaped(values)
        case tuple():
            return escaped(_each(values, _array))
        case int():
            return _each(values, str)
    return [_NULL if value is None else str(value) for value in values]


def _each(values: Sequence[Hashable], encode: Callable[[Any], str]) -> list[str]:
    """Encode values of which many are equal."""
    known: dict[Any, str] = {}
    found = []
    for value in values:
        text = known.get(value)
        if text is None:
            text = known[value] = encode(value)
        found.append(text)
    return found


def _array(texts: Sequence[str]) -> str:
    quoted = (text.replace("\\", r"\\").replace('"', r"\"") for text in texts)
    return "{" + ",".join([f'"{text}"' for text in quoted]) + "}"


def _consents(newcomers: Newcomers) -> list[str]:
    known: dict[int, str] = {}
    found = []
    # Those who agree share one mapping.
    for force in newcomers.consents or ():
        text = known.get(id(force))
        if text is None:
            text = known[id(force)] = to_json(encoding.consents_to_json(force))
        found.append(text)
    return found


def _identities(newcomers: Newcomers) -> list[str]:
    columns = []
    for one in newcomers.identities:
        head = f'[{int(one.type)},"{one.source}",'
        # Nearly all values need no escapes, and the encoder takes longer to start than this to finish.
        joined = "".join(filter(None, one.values))
        if '"' in joined or "\\" in joined:
            columns.append(["" if v is None else f"{head}{to_json(v)}]" for v in one.values])
        else:
            columns.append(["" if v is None else f'{head}"{v}"]' for v in one.values])
    if len(columns) == 1:
        return [f"[{only}]" for only in columns[0]]
    return [f"[{','.join(filter(None, parts))}]" for parts in zip(*columns, strict=True)]


def _claims(newcomers: Newcomers) -> list[str]:
    lines = []
    for one in newcomers.identities:
        head = claim_head(one.type, one.source)
        values = escaped([value or "" for value in one.values])
        lines += [f"{head}{value}\t{key}" for value, key in zip(values, newcomers.ids, strict=True) if value]
    lines.sort()
    return lines
