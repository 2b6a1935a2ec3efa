"""Resource names such as `contacts/{uuid}`, and the ids in them."""

from __future__ import annotations

from uuid import UUID

from uuid_utils.compat import uuid7

from services.kit.errors import InvalidArgument


def new_id() -> UUID:
    """Make an id that sorts by the time of its making (UUID version 7), which keeps indexes compact."""
    return uuid7()


def format_name(collection: str, key: UUID | str) -> str:
    """Return the resource name, such as `contacts/0190…`."""
    return f"{collection}/{key}"


def parse_name(name: str, collection: str, field: str = "name") -> UUID:
    """Return the UUID in a resource name; raises InvalidArgument that names the field."""
    prefix, _, key = name.partition("/")
    if prefix == collection:
        try:
            parsed = UUID(key)
        except ValueError:
            parsed = None
        # UUID() also takes braces, urn: and no dashes: a name has one spelling only.
        if parsed is not None and str(parsed) == key:
            return parsed
    raise InvalidArgument.field(field, f"expected '{collection}/<uuid>' in lower case, got {name[:100]!r}")


def parse_key(name: str, collection: str, field: str = "name") -> str:
    """Return the last part of a name whose id was chosen by a person, such as `segments/loyal`."""
    prefix, _, key = name.partition("/")
    if prefix == collection and key and "/" not in key and len(key) <= 63:
        return key
    raise InvalidArgument.field(field, f"expected '{collection}/<id>', got {name[:100]!r}")
