"""Which customers a caller may make cases and tasks for.

Who has a case of a customer sees the customer at a glance and writes to it, so a caller that sees some records only
must not come by one by naming anybody.
"""

from __future__ import annotations

from uuid import UUID

from rapport_client.errors import NotFound as ClientNotFound

from services.care.store.customers import is_concerned
from services.kit import context
from services.kit.access.scope import Reach, Scope
from services.kit.errors import NotFound
from services.kit.names import format_name, parse_name
from services.kit.runtime import Runtime

_READ = "contacts.read"


def check_customer(runtime: Runtime, contact_id: UUID | None) -> None:
    """Raise NotFound for a contact that the caller does not see.

    It sees whom its grant on contacts lets it read, and whom a case or open task of its scope is about. Who may make
    all cases or tasks, or read all contacts, may name anybody. Raises Unavailable when contacts does not answer.
    """
    scope, reads = context.scope(), context.scope_of(_READ)
    if contact_id is None or scope.everything or (reads is not None and reads.everything):
        return
    with runtime.db.read() as connection:
        if is_concerned(connection, contact_id, scope):
            return
    if reads is None or not _reads(runtime, format_name("contacts", contact_id), reads):
        raise NotFound.resource(format_name("contacts", contact_id))


def _reads(runtime: Runtime, name: str, scope: Scope) -> bool:
    """Tell whether a contact is within a scope on contacts; one that was merged is if the one that remains is."""
    get = runtime.clients.contacts.get_contact
    try:
        try:
            found = get(name=name).contact
        except ClientNotFound as error:
            if error.reason != "CONTACT_MERGED":
                return False
            found = get(name=format_name("contacts", parse_name(error.metadata["into"], "contacts"))).contact
    except ClientNotFound:
        return False
    if found.owner and found.owner == scope.user:
        return True
    return scope.reach is Reach.TEAM and found.team != "" and found.team in scope.teams
