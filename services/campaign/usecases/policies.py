"""Send policies as people set them."""

from __future__ import annotations

from dataclasses import replace

from sqlalchemy import Connection

from services.campaign.domain.ids import RuleError
from services.campaign.domain.policies import Policy, check_policy
from services.campaign.store import policies as store
from services.campaign.usecases.checks import check_etag
from services.kit.errors import AlreadyExists, InvalidArgument, NotFound
from services.kit.names import format_name
from services.kit.runtime import Runtime


def set_policy(runtime: Runtime, given: Policy, etag: str) -> Policy:
    """Store a policy in the place of the one of its id, or as a new one; holds for what is sent from now on.

    Raises InvalidArgument (INVALID_POLICY), Aborted (ETAG_MISMATCH), AlreadyExists (SCOPE_TAKEN) when another policy
    is of the same channel and topic.
    """
    with runtime.db.transaction() as connection:
        return put_policy(runtime, connection, given, etag)


def put_policy(runtime: Runtime, connection: Connection, given: Policy, etag: str = "") -> Policy:
    """Do what set_policy does in the caller's transaction."""
    try:
        check_policy(given)
    except RuleError as error:
        raise InvalidArgument.field(f"policy.{error.field}", str(error), reason="INVALID_POLICY") from error
    now = runtime.clock.now()
    found = store.get(connection, given.id, lock=True)
    check_etag(_name(given.id), etag, found.etag if found else None)
    _check_scope(connection, given)
    if found is None:
        made = replace(given, revision=1, create_time=now, update_time=now)
        if not store.insert(connection, made):
            # Somebody made one in the same moment: of this id, or of this scope.
            _check_scope(connection, given)
            raise AlreadyExists(
                f"{_name(given.id)} was made by somebody else meanwhile: read it, then decide"
            )
        return made
    made = replace(given, revision=found.revision + 1, create_time=found.create_time, update_time=now)
    store.update(connection, made)
    return made


def get_policy(runtime: Runtime, key: str) -> Policy:
    """Return a policy; raises NotFound."""
    with runtime.db.read() as connection:
        found = store.get(connection, key)
    if found is None:
        raise NotFound.resource(_name(key))
    return found


def list_policies(runtime: Runtime, *, after: str, count: int) -> list[Policy]:
    """Return the next policies by id."""
    with runtime.db.read() as connection:
        return store.page(connection, after=after, count=count)


def delete_policy(runtime: Runtime, key: str, etag: str) -> None:
    """Delete a policy; one that is not there is no error. Raises Aborted (ETAG_MISMATCH)."""
    with runtime.db.transaction() as connection:
        remove_policy(connection, key, etag)


def remove_policy(connection: Connection, key: str, etag: str) -> Policy | None:
    """Delete a policy in the caller's transaction and return it, None when there is none; raises Aborted."""
    found = store.get(connection, key, lock=True)
    if found is not None:
        check_etag(_name(key), etag, found.etag)
        store.delete(connection, key)
    return found


def _check_scope(connection: Connection, given: Policy) -> None:
    other = store.of_scope(connection, given.channel, given.topic)
    if other not in (None, given.id):
        raise AlreadyExists(
            f"{_name(str(other))} is the policy of channel {given.channel!r} and topic {given.topic!r} already: "
            "change it, or delete it first",
            reason="SCOPE_TAKEN",
            metadata={"resource": _name(str(other))},
        )


def _name(key: str) -> str:
    return format_name("sendPolicies", key)
