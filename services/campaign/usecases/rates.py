"""Rate limits as people set them."""

from __future__ import annotations

from dataclasses import replace

from sqlalchemy import Connection

from services.campaign.domain.ids import RuleError
from services.campaign.domain.rates import RateLimit, check_limit
from services.campaign.store import rates as store
from services.campaign.usecases.checks import check_etag
from services.kit.errors import AlreadyExists, InvalidArgument, NotFound
from services.kit.names import format_name
from services.kit.runtime import Runtime


def set_limit(runtime: Runtime, given: RateLimit, etag: str) -> RateLimit:
    """Store a limit in the place of the one of its id, or as a new one; the senders heed it within a second.

    Raises InvalidArgument (INVALID_LIMIT), Aborted (ETAG_MISMATCH).
    """
    with runtime.db.transaction() as connection:
        return put_limit(runtime, connection, given, etag)


def put_limit(runtime: Runtime, connection: Connection, given: RateLimit, etag: str = "") -> RateLimit:
    """Do what set_limit does in the caller's transaction."""
    try:
        check_limit(given)
    except RuleError as error:
        raise InvalidArgument.field(f"limit.{error.field}", str(error), reason="INVALID_LIMIT") from error
    now = runtime.clock.now()
    found = store.get(connection, given.id, lock=True)
    check_etag(_name(given.id), etag, found.etag if found else None)
    if found is None:
        made = replace(given, revision=1, create_time=now, update_time=now)
        if not store.insert(connection, made):
            raise AlreadyExists(
                f"{_name(given.id)} was made by somebody else meanwhile: read it, then decide"
            )
        return made
    made = replace(given, revision=found.revision + 1, create_time=found.create_time, update_time=now)
    store.update(connection, made)
    return made


def get_limit(runtime: Runtime, key: str) -> RateLimit:
    """Return a limit; raises NotFound."""
    with runtime.db.read() as connection:
        found = store.get(connection, key)
    if found is None:
        raise NotFound.resource(_name(key))
    return found


def list_limits(runtime: Runtime, *, after: str, count: int) -> list[RateLimit]:
    """Return the next limits by id."""
    with runtime.db.read() as connection:
        return store.page(connection, after=after, count=count)


def delete_limit(runtime: Runtime, key: str, etag: str) -> None:
    """Delete a limit; one that is not there is no error. Raises Aborted (ETAG_MISMATCH)."""
    with runtime.db.transaction() as connection:
        remove_limit(connection, key, etag)


def remove_limit(connection: Connection, key: str, etag: str) -> RateLimit | None:
    """Delete a limit in the caller's transaction and return it, None when there is none; raises Aborted."""
    found = store.get(connection, key, lock=True)
    if found is not None:
        check_etag(_name(key), etag, found.etag)
        store.delete(connection, key)
    return found


def _name(key: str) -> str:
    return format_name("rateLimits", key)
