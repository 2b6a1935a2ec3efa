"""Contacts on the wire."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from datetime import date, datetime
from typing import Any

from google.type import date_pb2, latlng_pb2
from rapport.contacts.v1 import contacts_pb2 as pb

from services.contacts.codec.consents import encode_consent
from services.contacts.codec.problems import Problems
from services.contacts.codec.values import decode_value, encode_values
from services.contacts.domain import codes
from services.contacts.domain.attributes import Attribute, Value, fit
from services.contacts.domain.contact import (
    EMPTY,
    LONGEST_ADDRESS_LINE,
    MOST_ADDRESS_LINES,
    TEXT_LENGTHS,
    Contact,
    Draft,
    check_birth_date,
    check_place,
    clean_tags,
)
from services.contacts.domain.errors import Refused
from services.contacts.domain.identity import Identity, normal_identity
from services.contacts.domain.text import limited
from services.contacts.domain.updating import Update
from services.kit.names import format_name
from services.kit.wire import to_timestamp

_ADDRESS_TEXTS = ("administrative_area", "locality", "sublocality", "postal_code")
_OWN_TEXTS = tuple(name for name in TEXT_LENGTHS if name not in _ADDRESS_TEXTS)
_CODES = {"language_code": codes.language, "time_zone": codes.time_zone}
_ADDRESS_PARTS = ("region_code", *_ADDRESS_TEXTS, "address_lines", "location")
# What a mask may name at the top; the rest of a contact is output only.
_MASKABLE = (*_OWN_TEXTS, *_CODES, "kind", "birth_date", "address", "attributes", "tags", "identities")
Definitions = Mapping[str, Attribute]


class DraftDecoder:
    """Decode contacts into drafts, noting all that is wrong.

    now: business time; default_region: of phone numbers without a country code; definitions: of all
    attributes named.
    """

    def __init__(
        self, problems: Problems, now: datetime, default_region: str, definitions: Definitions
    ) -> None:
        self._problems = problems
        self._now = now
        self._region = default_region
        self._definitions = definitions

    def decode(self, message: pb.Contact, path: str) -> Draft:
        """Return what a message says; its output-only fields are ignored."""
        draft = Draft()
        fields, check = draft.fields, self._problems.check
        for name in _OWN_TEXTS:
            if text := getattr(message, name):
                _put(fields, name, check(f"{path}.{name}", limited, text, TEXT_LENGTHS[name]))
        for name, read in _CODES.items():
            if text := getattr(message, name):
                _put(fields, name, check(f"{path}.{name}", read, text))
        if message.kind:
            _put(fields, "kind", check(f"{path}.kind", _kind, message.kind))
        if message.HasField("birth_date"):
            _put(fields, "birth_date", check(f"{path}.birth_date", _date, message.birth_date, self._now))
        if message.HasField("address"):
            self._address(message.address, f"{path}.address", fields)
        if message.attributes:
            draft.attributes = self._attributes(message.attributes, f"{path}.attributes")
        if message.tags:
            draft.tags = check(f"{path}.tags", clean_tags, message.tags) or ()
        if message.identities:
            draft.identities = self.identities(message.identities, f"{path}.identities")
        return draft

    def identities(self, messages: Iterable[pb.Identity], path: str) -> list[Identity]:
        """Return identities in normal form."""
        found = []
        for index, one in enumerate(messages):
            identity = self.identity(one, f"{path}[{index}]")
            if identity is not None:
                found.append(identity)
        return found

    def identity(self, message: pb.Identity, path: str) -> Identity | None:
        """Return an identity in normal form, or None after noting why not."""
        try:
            return normal_identity(message.type, message.source, message.value, self._region)
        except Refused as error:
            self._problems.add(f"{path}.{error.field or 'value'}", str(error))
            return None

    def _address(self, message: pb.Address, path: str, fields: dict[str, Any]) -> None:
        check = self._problems.check
        for name in _ADDRESS_TEXTS:
            if text := getattr(message, name):
                _put(fields, name, check(f"{path}.{name}", limited, text, TEXT_LENGTHS[name]))
        if message.region_code:
            _put(fields, "region_code", check(f"{path}.region_code", codes.region, message.region_code))
        if message.address_lines:
            _put(
                fields, "address_lines", check(f"{path}.address_lines", address_lines, message.address_lines)
            )
        if message.HasField("location"):
            place = check(
                f"{path}.location", check_place, message.location.latitude, message.location.longitude
            )
            if place is not None:
                fields["latitude"], fields["longitude"] = place

    def _attributes(self, messages: Mapping[str, pb.AttributeValue], path: str) -> dict[str, Value | None]:
        values: dict[str, Value | None] = {}
        for name, message in messages.items():
            where = f"{path}.{name[:63]}"
            definition = self._definitions.get(name)
            if definition is None:
                self._problems.add(
                    where, "is not defined; define it by CreateAttribute, or see ListAttributes"
                )
                continue
            value = self._problems.check(where, decode_value, message)
            values[name] = None if value is None else self._problems.check(where, fit, value, definition)
        return values

    def decode_update(self, message: pb.Contact, mask: Iterable[str]) -> Update:
        """Return the changes that a mask names; what it does not name is not even looked at."""
        picked = pb.Contact()
        names: set[str] = set()
        replaced: set[str] = set()
        attributes: list[str] = []
        for path in mask:
            for name in _MASKABLE if path == "*" else (path,):
                self._pick(name, message, picked, names, replaced, attributes)
        draft = self.decode(picked, "contact")
        update = Update(fields={name: draft.fields.get(name, EMPTY[name]) for name in names})
        if "attributes" in replaced:
            update.attributes = {name: value for name, value in draft.attributes.items() if value is not None}
        else:
            update.attribute_changes = {name: draft.attributes.get(name) for name in attributes}
        if "tags" in replaced:
            update.tags = draft.tags
        if "identities" in replaced:
            update.identities = draft.identities
        return update

    def _pick(
        self,
        path: str,
        message: pb.Contact,
        picked: pb.Contact,
        names: set[str],
        replaced: set[str],
        attributes: list[str],
    ) -> None:
        """Copy the field that a path of the mask names, and note which fields of the domain it replaces."""
        top, _, rest = path.partition(".")
        if top == "address" and (not rest or rest in _ADDRESS_PARTS):
            for part in (rest,) if rest else _ADDRESS_PARTS:
                _copy(message.address, picked.address, part)
                names.update(("latitude", "longitude") if part == "location" else (part,))
        elif top == "attributes" and rest:
            attributes.append(rest)
            if rest not in self._definitions:
                self._problems.add(f"update_mask.{path[:80]}", "is not a defined attribute")
            elif rest in message.attributes:
                picked.attributes[rest].CopyFrom(message.attributes[rest])
        elif path in _MASKABLE:
            _copy(message, picked, path)
            (replaced if path in ("attributes", "tags", "identities") else names).add(path)
        else:
            self._problems.add("update_mask", f"{path[:80]!r} cannot be set; paths are {_allowed_paths()}")


def _allowed_paths() -> str:
    parts = ", ".join(f"address.{part}" for part in _ADDRESS_PARTS)
    return f"{', '.join(sorted(_MASKABLE))}, {parts}, attributes.<id>"


def _copy(source: Any, target: Any, name: str) -> None:
    field = source.DESCRIPTOR.fields_by_name[name]
    if field.is_repeated:
        target.ClearField(name)
        getattr(target, name).MergeFrom(getattr(source, name))
    elif field.message_type is None:
        setattr(target, name, getattr(source, name))
    elif source.HasField(name):
        getattr(target, name).CopyFrom(getattr(source, name))


def attribute_names(messages: Collection[pb.Contact]) -> set[str]:
    """Return the names of all attributes that contacts mention."""
    return {name for message in messages for name in message.attributes}


def _put(fields: dict[str, Any], name: str, value: Any) -> None:
    # White space alone counts as not set.
    if value is not None and value != "":
        fields[name] = value


def _kind(number: int) -> int:
    if number not in (1, 2):
        raise Refused("must be KIND_PERSON or KIND_ORGANIZATION")
    return number


def _date(message: date_pb2.Date, now: datetime) -> date:
    try:
        day = date(message.year, message.month, message.day)
    except ValueError:
        raise Refused("is no date; year, month and day are all required") from None
    return check_birth_date(day, now)


def address_lines(lines: Collection[str]) -> tuple[str, ...]:
    """Return the street lines of an address; raises Refused."""
    if len(lines) > MOST_ADDRESS_LINES:
        raise Refused(f"has {len(lines)} lines; at most {MOST_ADDRESS_LINES} are allowed")
    return tuple(text for line in lines if (text := limited(line, LONGEST_ADDRESS_LINE)))


def encode_contact(contact: Contact) -> pb.Contact:
    """Return the message of a contact."""
    message = pb.Contact(
        name=format_name("contacts", contact.id),
        kind=contact.kind,  # type: ignore[arg-type]
        display_name=contact.display_name,
        given_name=contact.given_name,
        family_name=contact.family_name,
        language_code=contact.language_code,
        time_zone=contact.time_zone,
        gender=contact.gender,
        lifecycle_stage=contact.lifecycle_stage,
        industry=contact.industry,
        occupation=contact.occupation,
        owner=contact.owner,
        team=contact.team,
        tags=contact.tags,
        identities=map(_encode_identity, contact.identities),
        revision=contact.revision,
        etag=contact.etag,
        create_time=to_timestamp(contact.create_time),
        update_time=to_timestamp(contact.update_time),
    )
    if contact.attributes:
        for name, value in encode_values(contact.attributes).items():
            message.attributes[name].CopyFrom(value)
    if contact.consents:
        message.consents.extend(
            encode_consent(contact.id, one) for _, one in sorted(contact.consents.items())
        )
    if contact.birth_date is not None:
        message.birth_date.CopyFrom(encode_date(contact.birth_date))
    _encode_address(contact, message)
    return message


def _encode_identity(identity: Identity) -> pb.Identity:
    return pb.Identity(type=identity.type, value=identity.value, source=identity.source)  # type: ignore[arg-type]


def _encode_address(contact: Contact, message: pb.Contact) -> None:
    for name in ("region_code", *_ADDRESS_TEXTS):
        if text := getattr(contact, name):
            setattr(message.address, name, text)
    if contact.address_lines:
        message.address.address_lines.extend(contact.address_lines)
    place = encode_place(contact.latitude, contact.longitude)
    if place is not None:
        message.address.location.CopyFrom(place)


def encode_date(day: date) -> date_pb2.Date:
    """Return the message of a date."""
    return date_pb2.Date(year=day.year, month=day.month, day=day.day)


def encode_place(latitude: float | None, longitude: float | None) -> latlng_pb2.LatLng | None:
    """Return where a contact is, None when that is not known."""
    if latitude is None or longitude is None:
        return None
    return latlng_pb2.LatLng(latitude=latitude, longitude=longitude)
