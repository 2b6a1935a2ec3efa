"""Contacts as people name them: by an identity, a name or an id."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from rapport.contacts.v1 import contacts_pb2 as pb
from rapport_client import Rapport
from rapport_client.errors import NotFound as NotFoundThere

from services.kit.errors import InvalidArgument, NotFound

EXTERNAL = "external"
TYPES = {name.removeprefix("TYPE_").lower(): name for name, number in pb.Identity.Type.items() if number}
FORMS = (
    f"an e-mail address, a phone number as +84…, contacts/… or its id, or an identity as TYPE:VALUE: "
    f"{', '.join(TYPES)}; {EXTERNAL}:SOURCE:VALUE for the id in another system"
)
"""The ways to name a contact, for helps."""


def contact_name(who: str) -> str:
    """Return the resource name of a contact given by its name or id, "" for another text."""
    if who.startswith("contacts/"):
        return who
    try:
        return f"contacts/{UUID(who)}"
    except ValueError:
        return ""


def identity_of(who: str) -> pb.Identity | None:
    """Return the identity that a text writes, None when it has the form of none; raises InvalidArgument."""
    kind, colon, value = who.partition(":")
    if colon and kind.lower() in TYPES:
        source = ""
        if kind.lower() == EXTERNAL:
            source, colon, value = value.partition(":")
        if not colon or not value:
            form = f"{EXTERNAL}:SOURCE:VALUE" if kind.lower() == EXTERNAL else f"{kind.lower()}:VALUE"
            raise InvalidArgument(f"{who!r} has no value: write {form}", reason="BAD_IDENTITY")
        return pb.Identity(type=TYPES[kind.lower()], value=value, source=source)
    if "@" in who:
        return pb.Identity(type=pb.Identity.TYPE_EMAIL, value=who)
    if who.startswith("+"):
        return pb.Identity(type=pb.Identity.TYPE_PHONE, value=who)
    return None


def bad_form(who: str) -> InvalidArgument:
    """Build the error for a text that names a contact in no way."""
    return InvalidArgument(
        f"{who!r} is neither an e-mail address, a phone number with its country code nor an id: write TYPE:VALUE, with "
        f"one of {', '.join(TYPES)}; {EXTERNAL} takes the other system's name too, such as {EXTERNAL}:shop:4711",
        reason="BAD_IDENTITY",
    )


def written(identity: Any) -> str:
    """Write an identity as it is understood here."""
    kind = pb.Identity.Type.Name(identity.type).removeprefix("TYPE_").lower()
    return ":".join(item for item in (kind, identity.source, identity.value) if item)


def lookup(rapport: Rapport, identity: pb.Identity) -> Any:
    """Return the contact with an identity; raises NotFound."""
    try:
        return rapport.contacts.lookup_contact(identity=identity).contact
    except NotFoundThere as error:
        raise NotFound(f"no contact has the identity {written(identity)}", reason=error.reason) from error


def meant(rapport: Rapport, who: str) -> str:
    """Return the name of the contact that a text means; raises InvalidArgument for one of no form, NotFound."""
    if name := contact_name(who):
        return name
    identity = identity_of(who)
    if identity is None:
        raise bad_form(who)
    return str(lookup(rapport, identity).name)
