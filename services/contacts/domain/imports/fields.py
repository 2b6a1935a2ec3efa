"""The fields to which the columns of a file may go, and what their cells say."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import date, datetime
from difflib import get_close_matches
from functools import partial
from typing import Any, Literal

from services.contacts.domain import codes
from services.contacts.domain.attributes import Attribute, fit, parse_time, parse_value
from services.contacts.domain.consents import Wish, check_channel, check_topic
from services.contacts.domain.contact import (
    LONGEST_ADDRESS_LINE,
    MOST_ADDRESS_LINES,
    MOST_TAGS,
    TEXT_LENGTHS,
    Kind,
    check_birth_date,
    check_place,
    clean_tags,
)
from services.contacts.domain.email import normal_email
from services.contacts.domain.errors import Refused
from services.contacts.domain.identity import CHANNELS, IdentityType, account_id, qq_number
from services.contacts.domain.phone import normal_phone
from services.contacts.domain.text import limited

_ADDRESS_TEXTS = ("administrative_area", "locality", "sublocality", "postal_code")
_IDENTITY_TYPES = {
    "email": IdentityType.EMAIL,
    "phone": IdentityType.PHONE,
    "web_visitor": IdentityType.WEB_VISITOR,
    "zalo": IdentityType.ZALO,
    "qq": IdentityType.QQ,
    "wecom": IdentityType.WECOM,
}
IDENTITIES = tuple(_IDENTITY_TYPES)
PLAIN = (
    *(name for name in TEXT_LENGTHS if name not in _ADDRESS_TEXTS),
    "kind",
    "language_code",
    "time_zone",
    "birth_date",
    "tags",
    "create_time",
)
ADDRESS = tuple(f"address.{part}" for part in ("region_code", *_ADDRESS_TEXTS, "address_lines", "location"))
_KINDS = {
    "person": int(Kind.PERSON),
    "organization": int(Kind.ORGANIZATION),
    "organisation": int(Kind.ORGANIZATION),
}
# No others: a consent must be provable, and what "yes" in some file meant is a guess.
_DECISIONS = {"granted": True, "denied": False}
SOURCE = "import"

Part = Literal["field", "identity", "attribute", "tags", "consent", "create_time", "place"]
# Cells that a file repeats are read once; beyond this many different ones they are hardly repeated.
_REMEMBERED = 50_000


class Target:
    """Say which part of a draft a column fills, and read its cells.

    name: of the plain field or the attribute, the source of an external id; kind: the type of an identity;
    read: makes a value of a cell that is not blank, or raises Refused; repeats: whether cells are likely to be
    equal, as in a column of cities, and so worth remembering.
    """

    def __init__(
        self,
        part: Part,
        name: str,
        read: Callable[[str], Any],
        *,
        repeats: bool = True,
        kind: int = 0,
    ) -> None:
        self.part = part
        self.name = name
        self.kind = kind
        self._read = read
        self._memo = _Memo(self._one) if repeats else None

    def values(self, cells: Iterable[str]) -> list[Any]:
        """Return the value of each cell: None for a blank one, a Refused for one that cannot be taken."""
        if self._memo is None:
            return list(map(self._one, cells))
        if len(self._memo) > _REMEMBERED:
            self._memo.clear()
        return list(map(self._memo.__getitem__, cells))

    def _one(self, cell: str) -> Any:
        try:
            return self._read(cell) if cell and not cell.isspace() else None
        except Refused as error:
            return error


class _Memo(dict[str, Any]):
    """Remember what cells say."""

    def __init__(self, read: Callable[[str], Any]) -> None:
        super().__init__()
        self._read = read

    def __missing__(self, cell: str) -> Any:
        value = self[cell] = self._read(cell)
        return value


@dataclass(frozen=True, slots=True)
class FieldReader:
    """Hold what reading depends on: the region of phone numbers, the definitions of attributes, the time now."""

    region: str
    definitions: Mapping[str, Attribute]
    now: datetime

    def target(self, field: str) -> Target | None:
        """Return what a column that goes to a field fills, or None for an unknown field."""
        if field in IDENTITIES:
            return self._identity(field)
        if field in PLAIN:
            return self._plain(field)
        if field in ADDRESS:
            return _address(field.removeprefix("address."))
        head, _, rest = field.partition(":")
        if head == "external":
            return _external(rest)
        if head == "consent":
            channel, _, topic = rest.partition(":")
            return _consent(channel, topic)
        head, _, rest = field.partition(".")
        if head == "attributes" and rest in self.definitions:
            definition = self.definitions[rest]
            return Target("attribute", rest, lambda cell: _attribute(cell, definition))
        return None

    def _identity(self, field: str) -> Target:
        region = self.region
        kind = _IDENTITY_TYPES[field]
        read: Callable[[str], str]
        match field:
            case "email":
                read = normal_email
            case "phone":
                read = partial(normal_phone, default_region=region)
            case "qq":
                read = qq_number
            case _:
                read = account_id
        return Target("identity", "", read, repeats=False, kind=kind)

    def _plain(self, field: str) -> Target:
        now = self.now
        match field:
            case "kind":
                return Target("field", field, _kind)
            case "language_code":
                return Target("field", field, codes.language)
            case "time_zone":
                return Target("field", field, codes.time_zone)
            case "birth_date":
                return Target("field", field, lambda cell: check_birth_date(_date(cell), now))
            case "tags":
                return Target("tags", field, _tags)
            case "create_time":
                return Target("create_time", field, lambda cell: _create_time(cell, now), repeats=False)
        return _text(field)


def nearest_field(name: str, attributes: Iterable[str]) -> str:
    """Return the field that a header most likely means, or the empty text."""
    known = (*IDENTITIES, *PLAIN, *ADDRESS, *(f"attributes.{id_}" for id_ in attributes))
    # People leave out the prefix: "locality" is address.locality.
    by_name = {field.rpartition(".")[2]: field for field in reversed(known)} | {
        field: field for field in known
    }
    text = "_".join(name.strip().lower().replace("-", "_").split())
    close = get_close_matches(text, list(by_name), 1, cutoff=0.7)
    return by_name[close[0]] if close else ""


def misspelt_channel(field: str, fields: Iterable[str]) -> str:
    """Return the field that a consent to a channel nearly called like a known one most likely means, or "".

    fields: those of all columns; a channel whose addresses stand in a column of their own is not misspelt.
    """
    head, _, rest = field.partition(":")
    channel, _, topic = rest.partition(":")
    if head != "consent" or channel in CHANNELS or f"external:{channel}" in fields:
        return ""
    for near in get_close_matches(channel, CHANNELS, 1, cutoff=0.75):
        # What a plugin adds to such a name makes another of it, as in zalo2; a plural is a slip.
        if not channel.startswith(near) or channel == f"{near}s":
            return f"consent:{near}:{topic}"
    return ""


def describe_fields() -> str:
    """Return all fields that a column may go to, in one line."""
    others = ("attributes.<id>", "consent:<channel>:<topic>")
    return ", ".join((*IDENTITIES, "external:<source>", *PLAIN, *ADDRESS, *others))


def is_identity(field: str) -> bool:
    """Tell whether a field identifies a contact."""
    return field in IDENTITIES or field.startswith("external:")


def _text(field: str) -> Target:
    length = TEXT_LENGTHS[field]
    return Target("field", field, lambda cell: limited(cell, length) or None)


def _address(part: str) -> Target:
    match part:
        case "region_code":
            return Target("field", part, codes.region)
        case "address_lines":
            return Target("field", part, _lines, repeats=False)
        case "location":
            return Target("place", part, _place, repeats=False)
    return _text(part)


def _external(source: str) -> Target | None:
    try:
        known = codes.source(source)
    except Refused:
        return None
    return Target("identity", known, account_id, repeats=False, kind=IdentityType.EXTERNAL)


def _consent(channel: str, topic: str) -> Target | None:
    try:
        check_channel(channel)
        check_topic(topic)
    except Refused:
        return None

    def read(cell: str) -> Wish:
        granted = _DECISIONS.get(cell.strip().lower())
        if granted is None:
            raise Refused(f"{cell[:50]!r} is no decision; write granted or denied")
        return Wish(channel, topic, granted, None, SOURCE)

    return Target("consent", f"{channel}_{topic}", read)


def _attribute(cell: str, definition: Attribute) -> Any:
    return fit(parse_value(cell.strip(), definition.type), definition)


def _tags(cell: str) -> list[str] | None:
    tags = clean_tags(part for part in cell.split(";") if part.strip())
    if len(set(tags)) > MOST_TAGS:
        raise Refused(f"has {len(tags)} tags; at most {MOST_TAGS} are allowed")
    return tags or None


def _create_time(cell: str, now: datetime) -> datetime:
    moment = parse_time(cell.strip())
    if moment > now:
        raise Refused(f"{cell[:50]!r} lies in the future")
    return moment


def _place(cell: str) -> tuple[float, float]:
    latitude, _, longitude = cell.partition(",")
    try:
        degrees = float(latitude), float(longitude)
    except ValueError:
        text = f"{cell[:50]!r} is no place; write latitude,longitude like 10.7769,106.7009"
        raise Refused(text) from None
    return check_place(*degrees)


def _kind(cell: str) -> int:
    kind = _KINDS.get(cell.strip().lower())
    if kind is None:
        raise Refused(f"{cell[:50]!r} is neither person nor organization")
    return kind


def _date(cell: str) -> date:
    try:
        return date.fromisoformat(cell.strip())
    except ValueError:
        raise Refused(f"{cell[:50]!r} is no date; write it like 1990-12-31") from None


def _lines(cell: str) -> tuple[str, ...] | None:
    lines = tuple(text for part in cell.split(";") if (text := limited(part, LONGEST_ADDRESS_LINE)))
    if len(lines) > MOST_ADDRESS_LINES:
        raise Refused(f"has {len(lines)} lines; at most {MOST_ADDRESS_LINES} are allowed")
    return lines or None
