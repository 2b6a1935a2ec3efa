"""How the links of a campaign's or journey's messages are counted."""

from __future__ import annotations

from sqlalchemy import Connection

from services.campaign.domain.ids import RuleError, check_line
from services.campaign.domain.utm import UTM, LinkSettings
from services.campaign.store import campaigns, journeys, links
from services.campaign.usecases import approvals
from services.campaign.usecases.checks import refuse
from services.kit.errors import InvalidArgument, NotFound
from services.kit.runtime import Runtime


def get_settings(runtime: Runtime, origin: str) -> LinkSettings:
    """Return the settings of an origin; raises NotFound, InvalidArgument for what is no campaign or journey."""
    with runtime.db.read() as connection:
        _require(connection, origin, "origin")
        return links.settings(connection, [origin])[origin]


def set_settings(runtime: Runtime, given: LinkSettings) -> LinkSettings:
    """Store the settings of an origin; raises what `put_settings` does."""
    with runtime.db.transaction() as connection:
        put_settings(runtime, connection, given)
    return given


def put_settings(runtime: Runtime, connection: Connection, given: LinkSettings) -> None:
    """Store the settings of an origin in the caller's transaction; the same again changes nothing.

    Raises NotFound, InvalidArgument, Unavailable; FailedPrecondition: LINKS_APPROVED, or as approvals.require.
    """
    for name in UTM:
        try:
            check_line(getattr(given, name))
        except RuleError as error:
            raise refuse(error, f"settings.{name}") from error
    _require(connection, given.origin, "settings.origin", lock=True)
    if given == links.settings(connection, [given.origin])[given.origin]:
        return
    approvals.refuse_other(connection, given.origin, "how its links are counted", "LINKS_APPROVED")
    links.save_settings(connection, given, runtime.clock.now())
    approvals.require_still(runtime, connection, given.origin)


def _require(connection: Connection, origin: str, field: str, *, lock: bool = False) -> None:
    kind, _, key = origin.partition("/")
    if kind == "campaigns":
        found = campaigns.get(connection, key, lock=lock) is not None
    elif kind == "journeys":
        found = (journeys.lock if lock else journeys.get)(connection, key) is not None
    else:
        raise InvalidArgument.field(field, "must be 'campaigns/{id}' or 'journeys/{id}'")
    if not found:
        raise NotFound.resource(origin)
