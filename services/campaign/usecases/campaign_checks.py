"""What a campaign names beyond its own database, looked up before anybody relies on it."""

from __future__ import annotations

from sqlalchemy import Connection

from services.campaign.domain.campaigns import Campaign
from services.campaign.domain.experiments import Experiment
from services.campaign.store import experiments
from services.campaign.usecases import segments, template_names
from services.campaign.usecases.experiments import uses
from services.campaign.usecases.template_names import Sending
from services.kit.errors import FailedPrecondition, FieldViolation, InvalidArgument, NotFound
from services.kit.runtime import Runtime

TEMPLATE_NAMES = "TEMPLATE_NAMES"


def check_given(runtime: Runtime, connection: Connection, given: Campaign) -> None:
    """Check the segment of a campaign, and the names that its template asks for.

    Raises NotFound, InvalidArgument (TEMPLATE_NAMES), Unavailable.
    """
    if told := segments.problem(runtime, given.segment):
        raise NotFound(
            f"campaign.segment: {told}",
            metadata={"resource": given.segment},
            violations=[FieldViolation("campaign.segment", told)],
        )
    if told := _empty_names(runtime, connection, given, None):
        raise InvalidArgument.field("campaign.template", told, reason=TEMPLATE_NAMES)


def check_asked(runtime: Runtime, connection: Connection, campaign: Campaign) -> None:
    """Check the same of a campaign that somebody launches or schedules, with the variants of its experiment.

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
