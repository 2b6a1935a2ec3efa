"""What a campaign names beyond its own database, looked up before anybody relies on it."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import Connection

from services.campaign.channels import known_channels
from services.campaign.domain.campaigns import RETRY, Campaign
from services.campaign.domain.experiments import Experiment
from services.campaign.domain.ids import RuleError, check_topic
from services.campaign.store import coupons, experiments, templates
from services.campaign.usecases import segments, template_names
from services.campaign.usecases.checks import no_pool, no_template, refuse
from services.campaign.usecases.experiments import uses
from services.campaign.usecases.template_names import Sending
from services.kit.errors import (
    FailedPrecondition,
    FieldViolation,
    InvalidArgument,
    NotFound,
    RapportError,
    Unavailable,
)
from services.kit.names import format_name
from services.kit.runtime import Runtime

TEMPLATE_NAMES = "TEMPLATE_NAMES"
NOT_IDEMPOTENT = "CHANNEL_NOT_IDEMPOTENT"


def check_parts(runtime: Runtime, connection: Connection, given: Campaign) -> None:
    """Check what a campaign consists of, apart from what other services know; all that is wrong is told at once.

    Raises NotFound, InvalidArgument (UNKNOWN_CHANNEL, CHANNEL_NOT_IDEMPOTENT).
    """
    _raise_any(_wrong_parts(runtime, connection, given))


def check_given(runtime: Runtime, connection: Connection, given: Campaign) -> None:
    """Check the same, the segment, and the names that the template asks for; all that is wrong is told at once.

    Raises as check_parts, InvalidArgument (TEMPLATE_NAMES), Unavailable.
    """
    found = _wrong_parts(runtime, connection, given)
    try:
        if told := segments.problem(runtime, given.segment):
            found.append(_missing("campaign.segment", given.segment, told))
        if told := _empty_names(runtime, connection, given, None):
            found.append(InvalidArgument.field("campaign.template", told, reason=TEMPLATE_NAMES))
    except Unavailable:
        # What is wrong anyway is told, whoever is away.
        if not found:
            raise
    _raise_any(found)


def _wrong_parts(runtime: Runtime, connection: Connection, given: Campaign) -> list[RapportError]:
    found: list[RapportError] = []
    try:
        check_topic(given.topic)
    except RuleError as error:
        found.append(refuse(error, "campaign.topic"))
    channels = known_channels(runtime)
    if given.channel not in channels:
        text = f"no plugin offers {given.channel!r}; there are: {', '.join(sorted(channels)) or 'none'}"
        found.append(InvalidArgument.field("campaign.channel", text, reason="UNKNOWN_CHANNEL"))
    elif given.unknown_policy == RETRY and not channels[given.channel].idempotent:
        text = (
            f"{given.channel} may deliver a message twice that is sent again: hold what is unknown, or take a channel "
            "that is idempotent"
        )
        found.append(InvalidArgument.field("campaign.unknown_policy", text, reason=NOT_IDEMPOTENT))
    key, pool = given.template_id, given.coupon_pool_id
    if key not in templates.existing(connection, [key]):
        told = no_template(connection, key)
        found.append(_missing("campaign.template", format_name("templates", key), told))
    if pool and pool not in coupons.pools(connection, [pool]):
        told = no_pool(connection, pool)
        found.append(_missing("campaign.coupon_pool", format_name("couponPools", pool), told))
    return found


def _missing(field: str, name: str, told: str) -> NotFound:
    violations = [FieldViolation(field, told)]
    return NotFound(f"{field}: {told}", metadata={"resource": name}, violations=violations)


def _raise_any(found: Sequence[RapportError]) -> None:
    """Raise what was found as one error: that which is wrong whatever there is gives it its kind and reason."""
    if not found:
        return
    first = next((item for item in found if isinstance(item, InvalidArgument)), found[0])
    if len(found) == 1:
        raise first
    raise type(first)(
        "; ".join(item.message for item in found),
        reason=first.reason,
        metadata=first.metadata,
        violations=[violation for item in found for violation in item.violations],
    )


def check_asked(runtime: Runtime, connection: Connection, campaign: Campaign) -> None:
    """Check the same of a campaign that somebody launches, schedules or simulates, with the variants of its experiment.

    Not when a schedule is due: then nobody is there to mend it, and a launch says itself that a segment is gone.
    Raises NotFound, FailedPrecondition (TEMPLATE_NAMES), Unavailable.
    """
    if told := segments.problem(runtime, campaign.segment):
        raise NotFound(f"{campaign.origin}: {told}", metadata={"resource": campaign.segment})
    if told := _empty_names(runtime, connection, campaign, experiments.get(connection, campaign.id)):
        raise FailedPrecondition(f"{campaign.origin}: {told}", reason=TEMPLATE_NAMES)


def _empty_names(
    runtime: Runtime, connection: Connection, campaign: Campaign, tried: Experiment | None
) -> str:
    sendings = [
        Sending(item.template_id, coupon=bool(item.coupon_pool_id), event=False)
        for item in uses(tried, campaign)
    ]
    told = template_names.problems(runtime, connection, sendings)
    return "; ".join(dict.fromkeys(text for some in told.values() for text in some))
