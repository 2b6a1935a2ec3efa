"""Queries on contacts and their identities."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any, TypeVar
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy import Connection
from sqlalchemy.dialects import postgresql as pg

from services.contacts.domain.contact import Contact
from services.contacts.domain.identity import Identity, address_on
from services.contacts.domain.imports.sheet import Stored
from services.contacts.domain.recipient import Recipient
from services.contacts.domain.text import fold
from services.contacts.models import contact, identity
from services.contacts.store import encoding
from services.contacts.store.encoding import Times, ValueTypes, to_json
from services.contacts.store.scoping import visible
from services.kit.access.scope import Scope
from services.kit.db import copy_rows, copy_text, escaped

COLUMNS = tuple(column.name for column in contact.c)
_COPIED = (
    *("id", "kind", "revision", "create_time", "update_time", "latitude", "longitude", "birth_date"),
    *(
        "display_name",
        "folded_name",
        "given_name",
        "family_name",
        "language_code",
        "time_zone",
        "region_code",
    ),
    *(
        "administrative_area",
        "locality",
        "sublocality",
        "postal_code",
        "gender",
        "lifecycle_stage",
        "industry",
    ),
    *("occupation", "owner", "team", "attributes", "identities", "consents", "address_lines", "tags"),
)
# What a Contact is built from: the folded name serves the search alone.
_READ = [column for column in contact.c if column.name != "folded_name"]
_UUIDS = pg.ARRAY(pg.UUID(as_uuid=True))
_PAGE_ORDER = sa.tuple_(contact.c.create_time, contact.c.id)


def _any_id(name: str = "ids") -> sa.ColumnElement[bool]:
    return contact.c.id == sa.any_(sa.bindparam(name, type_=_UUIDS))


_SELECT = sa.select(*_READ)
_GET = _SELECT.where(contact.c.id == sa.bindparam("id"))
_GET_MANY = _SELECT.where(_any_id())
# Of half a dozen columns and one decision: a campaign asks this for each of its messages.
_RECIPIENTS = sa.select(
    *(
        contact.c[name]
        for name in (
            *("id", "display_name", "given_name", "family_name", "language_code", "time_zone"),
            *("region_code", "locality", "attributes", "tags", "identities"),
        )
    ),
    sa.cast(contact.c.consents[sa.bindparam("consent", type_=sa.Text)]["granted"].astext, sa.Boolean).label(
        "granted"
    ),
).where(_any_id())
# In the order of their ids, so that two batches that share contacts wait for each other and never deadlock.
_LOCK_MANY = _GET_MANY.order_by(contact.c.id).with_for_update(key_share=True)
_SEIZE_MANY = _GET_MANY.order_by(contact.c.id).with_for_update()
# The values travel as one text, parted by a character that no normal form holds: an array of ten thousand texts
# would take the driver longer than the server.
_PARTED = "\x1f"
_VALUES = sa.func.string_to_array(sa.bindparam("values", type_=sa.Text), sa.literal_column("chr(31)"))
# As a subquery the list holds the planner to one walk along the index, in the order of the values. Of a list that it
# can see it might say that reading the whole table is less, as its statistics lag behind an import.
_OF_KIND = sa.and_(
    identity.c.type == sa.bindparam("type", type_=sa.SmallInteger),
    identity.c.source == sa.bindparam("source", type_=sa.Text),
    identity.c.value == sa.any_(sa.cast(sa.select(_VALUES).scalar_subquery(), pg.ARRAY(sa.Text))),
)
_OWNERS = sa.select(identity.c.value, identity.c.contact_id).where(_OF_KIND)
_RELEASE = sa.delete(identity).where(_OF_KIND, identity.c.contact_id == sa.bindparam("owner"))
_SET = ", ".join(f"{name} = n.{name}" for name in COLUMNS if name not in ("id", "create_time"))
# The rows travel as one JSON text, whose fields PostgreSQL types by the table: one statement for any number
# of rows.
_UPDATE = sa.text(
    f"UPDATE contact SET {_SET} FROM json_populate_recordset(NULL::contact, CAST(:rows AS json)) AS n "
    "WHERE contact.id = n.id"
)
S = TypeVar("S", bound=sa.Select[Any])
TypesLoader = Callable[[Collection[str]], ValueTypes]


def _within(statement: S, scope: Scope) -> S:
    # Most calls see everything: their statements stay the ones that SQLAlchemy has compiled already.
    return statement if scope.everything else statement.where(visible(scope))


def get(connection: Connection, key: UUID, types: TypesLoader, scope: Scope) -> Contact | None:
    """Return a contact within a scope, or None. types: gives the types of the attributes that are named to it."""
    row = connection.execute(_within(_GET, scope), {"id": key}).one_or_none()
    return _contacts([row], types)[0] if row is not None else None


def get_many(
    connection: Connection, keys: Collection[UUID], types: TypesLoader, scope: Scope
) -> dict[UUID, Contact]:
    """Return those of the contacts that exist within a scope, by id."""
    rows = connection.execute(_within(_GET_MANY, scope), {"ids": list(keys)}).all()
    return {one.id: one for one in _contacts(rows, types)}


def recipients(
    connection: Connection, keys: Collection[UUID], channel: str, topic: str, types: TypesLoader
) -> dict[UUID, Recipient]:
    """Return what is needed to write to those of the contacts that exist, by id."""
    given = {"ids": list(keys), "consent": f"{channel}_{topic}"}
    rows = connection.execute(_RECIPIENTS, given).all()
    names = {name for row in rows for name in row.attributes}
    known = types(names) if names else {}
    return {row[0]: _recipient(row, channel, known) for row in rows}


def _recipient(row: Sequence[Any], channel: str, known: ValueTypes) -> Recipient:
    # By place: looking columns up by name would cost as much as all the rest.
    _, display_name, given_name, family_name, language_code, time_zone, region_code, *others = row
    locality, attributes, tags, identities, granted = others
    return Recipient(
        address=address_on(channel, encoding.identities_from_json(identities)),
        granted=granted,
        display_name=display_name,
        given_name=given_name,
        family_name=family_name,
        language_code=language_code,
        time_zone=time_zone,
        region_code=region_code,
        locality=locality,
        attributes=encoding.values_from_json(attributes, known) if attributes else {},
        tags=tags,
    )


def lock_many(
    connection: Connection, keys: Collection[UUID], types: TypesLoader, scope: Scope
) -> dict[UUID, Contact]:
    """Return those of the contacts that exist within a scope, by id, and keep others from changing them."""
    return _locked(connection, _within(_LOCK_MANY, scope), keys, types)


def seize_many(connection: Connection, keys: Collection[UUID], types: TypesLoader) -> dict[UUID, Contact]:
    """Return as `lock_many` does, and also keep others from adding rows of the contacts (`missing` with `keep`).

    For whoever moves or deletes these rows: one that was added meanwhile would be left behind.
    """
    return _locked(connection, _SEIZE_MANY, keys, types)


def _locked(
    connection: Connection, statement: sa.Select[Any], keys: Collection[UUID], types: TypesLoader
) -> dict[UUID, Contact]:
    if not keys:
        return {}
    rows = connection.execute(statement, {"ids": list(keys)}).all()
    return {one.id: one for one in _contacts(rows, types)}


_PRESENT = sa.select(contact.c.id).where(_any_id())
_KEPT = _PRESENT.order_by(contact.c.id).with_for_update(read=True, key_share=True)


def missing(connection: Connection, keys: Collection[UUID], scope: Scope, *, keep: bool = False) -> set[UUID]:
    """Return those of the ids that no contact within a scope has. keep: nobody deletes the others until the end."""
    found = connection.execute(_within(_KEPT if keep else _PRESENT, scope), {"ids": list(keys)}).scalars()
    return set(keys).difference(found)


def find_owners(connection: Connection, identities: Iterable[Identity]) -> dict[Identity, UUID]:
    """Return which contact each of the identities belongs to; those of nobody are left out."""
    return {
        Identity(kind, source, value): owner
        for (kind, source), owners in find_owners_by_kind(connection, _by_kind(identities)).items()
        for value, owner in owners.items()
    }


def find_owners_by_kind(
    connection: Connection, named: Mapping[tuple[int, str], Collection[str]]
) -> dict[tuple[int, str], dict[str, UUID]]:
    """Return as `find_owners` does, by type and source: one statement for each, of which a batch has a few."""
    found = {}
    for (kind, source), values in named.items():
        wanted = {"type": kind, "source": source, "values": _PARTED.join(values)}
        found[kind, source] = dict(connection.execute(_OWNERS, wanted).all())
    return found


def stored_parts(
    connection: Connection,
    keys: Collection[UUID],
    fields: Sequence[str],
    extras: Collection[str],
    types: TypesLoader,
) -> dict[UUID, Stored]:
    """Return of those of the contacts that exist, by id, some plain fields, and of attributes, tags and consents those
    that `extras` names.
    """
    columns = [contact.c[name] for name in ("id", *fields, *extras)]
    rows = connection.execute(sa.select(*columns).where(_any_id()), {"ids": list(keys)}).all()
    end = len(fields)
    lines = fields.index("address_lines") if "address_lines" in fields else None
    found = {}
    for row in rows:
        key, *values = row
        if lines is not None:
            values[lines] = tuple(values[lines])
        others = dict(zip(extras, values[end:], strict=True)) if extras else {}
        if attributes := others.get("attributes"):
            others["attributes"] = encoding.values_from_json(attributes, types(attributes))
        if consents := others.get("consents"):
            others["consents"] = encoding.consents_from_json(consents)
        found[key] = Stored(values[:end], **others)
    return found


def _by_kind(identities: Iterable[Identity]) -> dict[tuple[int, str], set[str]]:
    groups: dict[tuple[int, str], set[str]] = {}
    for kind, source, value in identities:
        groups.setdefault((kind, source), set()).add(value)
    return groups


def insert(connection: Connection, contacts: Iterable[Contact]) -> None:
    """Write new contacts, without their identities, which `claim` writes."""
    times = Times()
    copy_rows(connection, contact, _COPIED, (_to_row(one, times) for one in contacts))


def claim(connection: Connection, claims: Iterable[tuple[Identity, UUID]], lines: Iterable[str] = ()) -> None:
    """Give identities to contacts; raises an error with SQLSTATE 23505 when another transaction was faster.

    lines: more of them, as COPY takes them: what `claim_head` returns, the value (`escaped`), a tab and the id.

    Sorted, so that two batches which claim the same identities wait for each other and never deadlock.
    """
    every = [*lines]
    for (kind, source, value), key in claims:
        every.append(f"{claim_head(kind, source)}{escaped([value])[0]}\t{key}")
    if every:
        every.sort()
        text = "\n".join([*every, ""])
        copy_text(connection, identity, ("type", "source", "value", "contact_id"), text)


def claim_head(kind: int, source: str) -> str:
    """Return how the lines of `claim` begin for all identities of a type and source."""
    return f"{int(kind)}\t{source}\t"


def release(connection: Connection, owner: UUID, identities: Iterable[Identity]) -> None:
    """Take identities from a contact."""
    for (kind, source), values in _by_kind(identities).items():
        which = {"type": kind, "source": source, "values": _PARTED.join(values)}
        connection.execute(_RELEASE, {"owner": owner, **which})


def update(connection: Connection, contacts: Collection[Contact]) -> None:
    """Write changed contacts, all in one statement; identities as for `insert`."""
    if contacts:
        connection.execute(_UPDATE, {"rows": to_json([_to_json(one) for one in contacts])})


def page(
    connection: Connection,
    types: TypesLoader,
    scope: Scope,
    *,
    query: str,
    tag: str,
    after: tuple[datetime, UUID] | None,
    limit: int,
) -> list[Contact]:
    """Return contacts within a scope in the order of their making.

    query: a part of the display name; tag: exact; empty for all.
    """
    statement = _within(_SELECT, scope).order_by(contact.c.create_time, contact.c.id).limit(limit)
    if query:
        statement = statement.where(contact.c.folded_name.contains(fold(query), autoescape=True))
    if tag:
        # The second condition is that of the partial index.
        statement = statement.where(contact.c.tags.contains([tag]), contact.c.tags != sa.text("'{}'"))
    if after is not None:
        statement = statement.where(sa.tuple_(*map(sa.literal, after)) < _PAGE_ORDER)
    return _contacts(connection.execute(statement).all(), types)


def count(connection: Connection, scope: Scope) -> tuple[int, int]:
    """Return the numbers of contacts within a scope and of the organisations among them.

    Of all contacts by two index-only scans.
    """
    everyone = _within(sa.select(sa.func.count()).select_from(contact), scope)
    total = everyone.scalar_subquery()
    organizations = everyone.where(contact.c.kind == sa.text("2"))
    row = connection.execute(sa.select(total, organizations.scalar_subquery())).one()
    return row[0], row[1]


def _contacts(rows: Sequence[Any], types: TypesLoader) -> list[Contact]:
    names = {name for row in rows for name in row.attributes}
    known = types(names) if names else {}
    return [_from_row(row, known) for row in rows]


def _from_row(row: Any, types: Mapping[str, Any]) -> Contact:
    values = row._asdict()
    values["address_lines"] = tuple(row.address_lines)
    values["tags"] = tuple(row.tags)
    values["identities"] = encoding.identities_from_json(row.identities)
    if row.attributes:
        values["attributes"] = encoding.values_from_json(row.attributes, types)
    if row.consents:
        values["consents"] = encoding.consents_from_json(row.consents)
    return Contact(**values)


def _to_row(one: Contact, times: Times) -> tuple[object, ...]:
    """Return the row of a contact for COPY, in the order of _COPIED."""
    return (
        one.id.hex,
        one.kind,
        one.revision,
        times[one.create_time],
        times[one.update_time],
        one.latitude,
        one.longitude,
        one.birth_date,
        one.display_name,
        fold(one.display_name),
        one.given_name,
        one.family_name,
        one.language_code,
        one.time_zone,
        one.region_code,
        one.administrative_area,
        one.locality,
        one.sublocality,
        one.postal_code,
        one.gender,
        one.lifecycle_stage,
        one.industry,
        one.occupation,
        one.owner,
        one.team,
        to_json(encoding.values_to_json(one.attributes)) if one.attributes else "{}",
        encoding.identities_to_json(one.identities),
        to_json(encoding.consents_to_json(one.consents)) if one.consents else "{}",
        list(one.address_lines) if one.address_lines else "{}",
        list(one.tags) if one.tags else "{}",
    )


def _to_json(one: Contact) -> dict[str, Any]:
    """Return the row of a contact as json_populate_recordset reads it."""
    row = {name: getattr(one, name) for name in COLUMNS if name != "folded_name"}
    row["id"] = str(one.id)
    row["folded_name"] = fold(one.display_name)
    row["birth_date"] = one.birth_date.isoformat() if one.birth_date else None
    row["attributes"] = encoding.values_to_json(one.attributes)
    row["consents"] = encoding.consents_to_json(one.consents)
    row["create_time"] = one.create_time.isoformat()
    row["update_time"] = one.update_time.isoformat()
    return row
