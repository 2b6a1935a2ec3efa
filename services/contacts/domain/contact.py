"""A contact, what may be said of it, and how the two become one."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date, datetime, timedelta
from enum import IntEnum
from typing import Any
from uuid import UUID

from services.contacts.domain.attributes import Value
from services.contacts.domain.consents import Decision, Wish
from services.contacts.domain.errors import Refused
from services.contacts.domain.identity import Identity
from services.contacts.domain.names import full_name
from services.contacts.domain.text import clean_line

MOST_ATTRIBUTES, MOST_TAGS, MOST_IDENTITIES = 500, 200, 50
LONGEST_TAG = 100
OLDEST_BIRTH_YEAR = 1800


class Kind(IntEnum):
    """Name what a contact is; the numbers are those of the API."""

    PERSON = 1
    ORGANIZATION = 2


# The greatest length of each plain text of a contact.
TEXT_LENGTHS = {
    "display_name": 300,
    "given_name": 200,
    "family_name": 200,
    "administrative_area": 100,
    "locality": 100,
    "sublocality": 100,
    "postal_code": 20,
    "gender": 40,
    "lifecycle_stage": 60,
    "industry": 100,
    "occupation": 100,
    "owner": 200,
    "team": 200,
}
LONGEST_ADDRESS_LINE, MOST_ADDRESS_LINES = 200, 5

# What an empty field of a contact holds; these are all fields that callers set one by one.
EMPTY: Mapping[str, Any] = {
    "kind": int(Kind.PERSON),
    **dict.fromkeys(TEXT_LENGTHS, ""),
    "language_code": "",
    "time_zone": "",
    "region_code": "",
    "address_lines": (),
    "latitude": None,
    "longitude": None,
    "birth_date": None,
}
_NAME_PARTS = frozenset(("given_name", "family_name", "language_code", "kind", "display_name"))


@dataclass(slots=True)
class Contact:
    """Hold a person or an organisation; treated as immutable once made.

    tags are sorted; identities in the order of their arrival; consents are the decisions in force by
    `<channel>_<topic>`; attributes as the registry types them.
    """

    id: UUID
    create_time: datetime
    update_time: datetime
    revision: int = 1
    kind: int = 1
    display_name: str = ""
    given_name: str = ""
    family_name: str = ""
    language_code: str = ""
    time_zone: str = ""
    region_code: str = ""
    administrative_area: str = ""
    locality: str = ""
    sublocality: str = ""
    postal_code: str = ""
    address_lines: tuple[str, ...] = ()
    latitude: float | None = None
    longitude: float | None = None
    birth_date: date | None = None
    gender: str = ""
    lifecycle_stage: str = ""
    industry: str = ""
    occupation: str = ""
    owner: str = ""
    team: str = ""
    attributes: Mapping[str, Value] = field(default_factory=dict)
    tags: tuple[str, ...] = ()
    identities: tuple[Identity, ...] = ()
    consents: Mapping[str, Decision] = field(default_factory=dict)

    @property
    def etag(self) -> str:
        """Return what changes with each change, and differs from that of another history of the same length."""
        return f"r{self.revision}-{int(self.update_time.timestamp() * 1e6):x}"

    def has(self, kind: int) -> bool:
        """Tell whether the contact has an identity of a type."""
        return kind in [identity[0] for identity in self.identities]


@dataclass(slots=True)
class Draft:
    """Hold what a caller says of a contact, all in normal form.

    fields: plain fields by name, only those that are set; attributes: None removes one; create_time: only of
    imports of the past.
    """

    fields: dict[str, Any] = field(default_factory=dict)
    attributes: dict[str, Value | None] = field(default_factory=dict)
    tags: Sequence[str] = ()
    identities: list[Identity] = field(default_factory=list)
    consents: list[Wish] = field(default_factory=list)
    create_time: datetime | None = None


def make(draft: Draft, key: UUID, now: datetime) -> Contact:
    """Return the contact that a draft describes, without its consents; raises Refused for too much in it."""
    made = draft.create_time or now
    contact = Contact(key, made, now, **draft.fields)
    if not contact.display_name:
        contact.display_name = made_name(contact)
    if draft.attributes:
        contact.attributes = {name: value for name, value in draft.attributes.items() if value is not None}
    if draft.tags:
        contact.tags = tuple(sorted(set(draft.tags)))
    contact.identities = (
        tuple(dict.fromkeys(draft.identities)) if len(draft.identities) > 1 else tuple(draft.identities)
    )
    check_size(contact)
    return contact


def merge(contact: Contact, draft: Draft) -> Contact:
    """Return the contact after an upsert, without its consents, or the same object when nothing changes.

    Set fields and attributes replace, tags and identities are added. Revision and update time stay: see
    `touched`. Raises Refused when it would hold too much.
    """
    changes: dict[str, Any] = {
        name: value for name, value in draft.fields.items() if getattr(contact, name) != value
    }
    if draft.attributes:
        attributes = patched(contact.attributes, draft.attributes)
        if attributes is not contact.attributes:
            changes["attributes"] = attributes
    if draft.tags and not set(draft.tags).issubset(contact.tags):
        changes["tags"] = tuple(sorted({*contact.tags, *draft.tags}))
    fresh = [identity for identity in dict.fromkeys(draft.identities) if identity not in contact.identities]
    if fresh:
        changes["identities"] = (*contact.identities, *fresh)
    return changed(contact, changes)


def changed(contact: Contact, changes: Mapping[str, Any]) -> Contact:
    """Return the contact with other values, or the same object when there are none.

    Raises Refused when it would hold too much.

    A display name that was made from the parts of the name follows them.
    """
    if not changes:
        return contact
    after = replace(contact, **changes)
    renamed = not _NAME_PARTS.isdisjoint(changes)
    if renamed and (not after.display_name or _follows(contact, changes)):
        after.display_name = made_name(after)
    check_size(after)
    return contact if after == contact else after


def _follows(before: Contact, changes: Mapping[str, Any]) -> bool:
    return "display_name" not in changes and before.display_name == made_name(before)


def touched(contact: Contact, now: datetime) -> Contact:
    """Return a changed contact with its next revision."""
    return replace(contact, revision=contact.revision + 1, update_time=now)


def made_name(contact: Contact) -> str:
    """Return the display name that follows from the parts of a person's name; empty for an organisation."""
    return name_of(contact.kind, contact.given_name, contact.family_name, contact.language_code)


def name_of(kind: int, given_name: str, family_name: str, language_code: str) -> str:
    """Return what `made_name` does of these parts."""
    return "" if kind == 2 else full_name(given_name, family_name, language_code)[:300]


def patched(present: Mapping[str, Value], changes: Mapping[str, Value | None]) -> Mapping[str, Value]:
    """Return attributes with some set and some (None) removed; the same object when nothing changes."""
    if all(present.get(name) == value for name, value in changes.items()):
        return present
    after = {**present, **changes}
    return {name: value for name, value in after.items() if value is not None}


def check_size(contact: Contact) -> None:
    """Raise Refused when a contact holds more attributes, tags or identities than it may."""
    if len(contact.tags) > MOST_TAGS:
        raise Refused(f"would hold {len(contact.tags)} tags; at most {MOST_TAGS} are allowed", field="tags")
    if len(contact.attributes) > MOST_ATTRIBUTES:
        raise Refused(f"would hold more than {MOST_ATTRIBUTES} attributes", field="attributes")
    if len(contact.identities) > MOST_IDENTITIES:
        raise Refused(f"would hold more than {MOST_IDENTITIES} identities", field="identities")


def clean_tags(tags: Iterable[str]) -> list[str]:
    """Return tags in normal form; raises Refused for one that is empty or too long."""
    cleaned = []
    for tag in tags:
        text = clean_line(tag)
        if not text:
            raise Refused("a tag must not be empty")
        if len(text) > LONGEST_TAG:
            raise Refused(
                f"the tag {text[:30]!r}… has {len(text)} characters; at most {LONGEST_TAG} are allowed"
            )
        cleaned.append(text)
    return cleaned


def check_birth_date(day: date, now: datetime) -> date:
    """Return a birth date; raises Refused for one that lies in the future or before 1800."""
    if day.year < OLDEST_BIRTH_YEAR:
        raise Refused(f"{day.isoformat()} lies before {OLDEST_BIRTH_YEAR}")
    # Somewhere it is tomorrow already.
    if day > (now + timedelta(days=1)).date():
        raise Refused(f"{day.isoformat()} lies in the future")
    return day


def check_place(latitude: float, longitude: float) -> tuple[float, float]:
    """Return a place in degrees; raises Refused when it is not on the globe."""
    if not (-90 <= latitude <= 90 and -180 <= longitude <= 180):
        raise Refused("latitude must lie between -90 and 90 and longitude between -180 and 180")
    return latitude, longitude
