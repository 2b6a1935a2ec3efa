"""What several actions check about what they name."""

from __future__ import annotations

from collections.abc import Collection
from difflib import get_close_matches

from sqlalchemy import Connection

from services.campaign.domain.ids import RuleError
from services.campaign.store import coupons, templates
from services.kit.errors import Aborted, AlreadyExists, InvalidArgument, NotFound
from services.kit.names import format_name

_LOOKED_THROUGH = 2000


def refuse(error: RuleError, field: str) -> InvalidArgument:
    """Build the error for a field that breaks a rule."""
    return InvalidArgument.field(field, str(error))


def exists_already(name: str) -> AlreadyExists:
    """Build the error for an id that is taken."""
    return AlreadyExists(f"{name} exists already; choose another id", metadata={"resource": name})


def no_template(connection: Connection, key: str) -> str:
    """Return in words that there is no such template, with the nearest one that is there."""
    return _nothing("templates", key, templates.ids(connection, _LOOKED_THROUGH))


def no_pool(connection: Connection, key: str) -> str:
    """Return in words that there is no such coupon pool, with the nearest one that is there."""
    return _nothing("couponPools", key, coupons.pool_ids(connection, _LOOKED_THROUGH))


def _nothing(collection: str, key: str, known: Collection[str]) -> str:
    close = get_close_matches(key, known, 1)
    hint = f": did you mean {format_name(collection, close[0])}?" if close else ""
    return f"{format_name(collection, key)} does not exist{hint}"


def require_templates(connection: Connection, keys: Collection[str]) -> None:
    """Raise NotFound for the first template that is not there."""
    missing = sorted(set(keys) - templates.existing(connection, keys))
    if missing:
        name = format_name("templates", missing[0])
        raise NotFound(no_template(connection, missing[0]), metadata={"resource": name})


def require_pools(connection: Connection, keys: Collection[str]) -> None:
    """Raise NotFound for the first pool that is not there; empty ids stand for none."""
    wanted = {key for key in keys if key}
    missing = sorted(wanted - coupons.pools(connection, wanted).keys()) if wanted else []
    if missing:
        name = format_name("couponPools", missing[0])
        raise NotFound(no_pool(connection, missing[0]), metadata={"resource": name})


def check_etag(name: str, given: str, current: str | None) -> None:
    """Raise Aborted (ETAG_MISMATCH) when a resource was changed since it was read; an empty etag asks for nothing."""
    if given and given != current:
        raise Aborted(
            f"{name} was changed or deleted meanwhile: read it again, then decide anew",
            metadata={"resource": name},
        )
