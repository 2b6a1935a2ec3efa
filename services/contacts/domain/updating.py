"""Changes of single fields of a contact, as a field mask names them."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Any

from services.contacts.domain.attributes import Value
from services.contacts.domain.contact import Contact, changed, patched
from services.contacts.domain.errors import Refused
from services.contacts.domain.identity import Identity


@dataclass(slots=True)
class Update:
    """Hold new values.

    fields: plain fields, empty ones included; attributes: replaces all; attribute_changes: single ones, None
    removes; tags, identities: replace all. None leaves as it is.
    """

    fields: dict[str, Any] = field(default_factory=dict)
    attributes: Mapping[str, Value] | None = None
    attribute_changes: dict[str, Value | None] = field(default_factory=dict)
    tags: Collection[str] | None = None
    identities: Collection[Identity] | None = None


def updated(contact: Contact, update: Update) -> Contact:
    """Return the contact with the new values, or the same object; raises Refused when it would hold too much."""
    changes: dict[str, Any] = {
        name: value for name, value in update.fields.items() if getattr(contact, name) != value
    }
    attributes = contact.attributes
    if update.attributes is not None:
        attributes = patched(attributes, {**dict.fromkeys(attributes), **update.attributes})
    attributes = patched(attributes, update.attribute_changes)
    if attributes is not contact.attributes:
        changes["attributes"] = attributes
    if update.tags is not None:
        changes["tags"] = tuple(sorted(set(update.tags)))
    if update.identities is not None:
        changes["identities"] = tuple(dict.fromkeys(update.identities))
    return changed(contact, changes)


def retagged(contact: Contact, add: Collection[str], remove: Collection[str]) -> Contact:
    """Return the contact with tags added and removed, or the same object; raises Refused for one in both."""
    both = set(add).intersection(remove)
    if both:
        raise Refused(f"{min(both)!r} is to be added and removed; name it once", field="remove_tags")
    tags = tuple(sorted({*contact.tags, *add}.difference(remove)))
    return changed(contact, {"tags": tags})
