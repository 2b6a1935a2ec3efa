"""Two contacts that are one person: what the one that remains holds then."""

from __future__ import annotations

from typing import Any

from services.contacts.domain.consents import Decision
from services.contacts.domain.contact import EMPTY, Contact, changed

# Parts of one thing: an address put together of two is nobody's address, and so is a name.
_ADDRESS = (
    "region_code",
    "administrative_area",
    "locality",
    "sublocality",
    "postal_code",
    "address_lines",
    "latitude",
    "longitude",
)
_NAME = ("given_name", "family_name")
_SINGLE = tuple(name for name in EMPTY if name not in (*_ADDRESS, *_NAME, "kind"))


def absorb(survivor: Contact, other: Contact) -> Contact:
    """Return the survivor with all that the other one has and it has not, its revision as before.

    A value of the survivor wins; name and address are taken as a whole or not at all. Tags, attributes and identities
    are joined. Of two decisions on the same channel and topic the newer is in force, of two of one moment the denial.
    Raises Refused when it would hold too much.
    """
    changes: dict[str, Any] = {}
    for group in (_ADDRESS, _NAME, *((name,) for name in _SINGLE)):
        if all(getattr(survivor, name) == EMPTY[name] for name in group):
            changes |= {name: getattr(other, name) for name in group}
    changes["attributes"] = {**other.attributes, **survivor.attributes}
    changes["tags"] = tuple(sorted({*survivor.tags, *other.tags}))
    changes["identities"] = tuple(dict.fromkeys((*survivor.identities, *other.identities)))
    consents = dict(survivor.consents)
    for key, decision in other.consents.items():
        consents[key] = stronger(consents.get(key, decision), decision)
    changes["consents"] = consents
    return changed(survivor, changes)


def stronger(first: Decision, second: Decision) -> Decision:
    """Return which of two decisions on one thing is in force."""
    if first.decide_time != second.decide_time:
        return max(first, second, key=lambda one: one.decide_time)
    return second if first.granted else first
