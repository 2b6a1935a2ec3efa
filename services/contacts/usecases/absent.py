"""What to say of contacts that do not exist."""

from __future__ import annotations

from uuid import UUID

from sqlalchemy import Connection

from services.contacts.store import contacts, gone
from services.kit import context
from services.kit.access.scope import EVERYTHING
from services.kit.errors import NotFound
from services.kit.names import format_name


def absent(connection: Connection, key: UUID) -> NotFound:
    """Return the error for a contact that is not there.

    Of one that was merged its reason is CONTACT_MERGED, and its metadata `into` names the contact that remains: the
    name of a resource never answers with another one, so the caller takes the new name. Of an erased one it says no
    more than of one that never was.
    """
    name = format_name("contacts", key)
    into = gone.targets(connection, [key]).get(key)
    # Where a contact went is not said to who may not see it there. A call that heeds no scope sees all.
    scope = context.scope() if context.heeds_scope() else EVERYTHING
    if into is None or (not scope.everything and contacts.missing(connection, [into], scope)):
        return NotFound.resource(name)
    remaining = format_name("contacts", into)
    return NotFound(
        f"{name} was merged into {remaining}: ask for that one",
        reason="CONTACT_MERGED",
        metadata={"resource": name, "into": remaining},
    )
