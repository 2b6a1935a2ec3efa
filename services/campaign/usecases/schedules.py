"""Campaigns that are launched by themselves: scheduled, taken back, and launched when they are due."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from itertools import islice, pairwise

from rapport.campaign.v1 import campaign_pb2
from sqlalchemy import Connection

from services.campaign.domain.campaigns import DONE, DRAFT, PLANNING, SCHEDULED, Campaign
from services.campaign.domain.ids import RuleError
from services.campaign.domain.schedules import (
    LEAST_APART,
    LONGEST_ID,
    Schedule,
    check_schedule,
    launches,
    over_everywhere,
)
from services.campaign.models import kit
from services.campaign.store import campaigns, experiments, links, schedules
from services.campaign.store.schedules import Kept, Occurrence
from services.campaign.usecases.campaign_checks import check_asked
from services.campaign.usecases.campaigns import LAUNCH, change_plan, check_launch, locked
from services.kit import log, operations
from services.kit.errors import FailedPrecondition, InvalidArgument, NotFound, Unavailable
from services.kit.names import format_name
from services.kit.runtime import Runtime

_log = log.get_logger("schedules")

INVALID = "INVALID_SCHEDULE"
PREVIOUS_RUNS, TOO_LATE = "PREVIOUS_RUNS", "TOO_LATE"
_LOOKED_AT = 400
"""So many occurrences show how close two of them may be: a year of daily ones."""


def schedule_campaign(runtime: Runtime, key: str, given: Schedule) -> Kept:
    """Let a draft be launched by itself; again with another schedule replaces it.

    Raises NotFound, InvalidArgument (INVALID_SCHEDULE), FailedPrecondition (CAMPAIGN_STATE, SCHEDULE_OVER), and as a
    launch.
    """
    with runtime.db.transaction() as connection:
        return put_schedule(runtime, connection, key, given)


def put_schedule(runtime: Runtime, connection: Connection, key: str, given: Schedule) -> Kept:
    """Do what schedule_campaign does in the caller's transaction."""
    now = runtime.clock.now()
    _check(given, now)
    campaign = locked(connection, key)
    state = change_plan("schedule", campaign)
    if given.recurrence and len(key) > LONGEST_ID:
        raise InvalidArgument.field(
            "name", f"a recurring campaign's id has at most {LONGEST_ID} characters", reason=INVALID
        )
    if campaign.evergreen and (given.recurrence or given.recipient_time):
        raise InvalidArgument.field(
            "schedule", "an evergreen campaign is launched once and at one moment", reason=INVALID
        )
    _check_experiment(connection, campaign, given)
    check_launch(runtime, connection, replace(campaign, state=DRAFT), given.recurrence)
    check_asked(runtime, connection, campaign)
    # An occurrence that is still caught up with counts as to come.
    coming = next((one for one in launches(given) if one[1] >= now - given.catch_up), None)
    if coming is None:
        raise FailedPrecondition(
            f"{campaign.origin}: the schedule has no occurrence to come", reason="SCHEDULE_OVER"
        )
    schedules.save(connection, key, given, *coming)
    campaigns.set_state(connection, key, state)
    return _kept(connection, key)


def unschedule_campaign(runtime: Runtime, key: str) -> Campaign:
    """Make a scheduled campaign a draft again; runs that were launched go on. Raises NotFound, FailedPrecondition."""
    with runtime.db.transaction() as connection:
        return drop_schedule(connection, key)


def drop_schedule(connection: Connection, key: str) -> Campaign:
    """Do what unschedule_campaign does in the caller's transaction."""
    campaign = locked(connection, key)
    state = change_plan("unschedule", campaign)
    schedules.stop(connection, key)
    campaigns.set_state(connection, key, state)
    return replace(campaign, state=state)


def get_schedule(runtime: Runtime, key: str, count: int) -> tuple[Kept, list[tuple[datetime, datetime]]]:
    """Return a schedule and its next occurrences (local time, moment); raises NotFound."""
    with runtime.db.read() as connection:
        kept = _kept(connection, key)
    if kept.next_local is None:
        return kept, []
    return kept, list(islice(launches(kept.schedule, kept.next_local), count))


def preview_schedule(runtime: Runtime, given: Schedule, count: int) -> list[tuple[datetime, datetime]]:
    """Return the occurrences to come of a schedule that is not stored; raises InvalidArgument (INVALID_SCHEDULE)."""
    now = runtime.clock.now()
    _check(given, now)
    coming = (one for one in launches(given) if one[1] >= now)
    return list(islice(coming, count))


def list_runs(runtime: Runtime, key: str, *, before: datetime | None, count: int) -> Sequence[Occurrence]:
    """Return the next occurrences that are over, newest first; raises NotFound."""
    with runtime.db.read() as connection:
        _kept(connection, key)
        return schedules.page(connection, key, before=before, count=count)


def launch_due(runtime: Runtime) -> int:
    """Launch the campaigns that are due, each by exactly one worker, and return how many."""
    launched = 0
    with runtime.db.read() as connection:
        keys = schedules.due(connection, runtime.clock.now())
    for key in keys:
        try:
            with runtime.db.transaction() as connection:
                launched += _launch_one(runtime, connection, key)
        except Unavailable as error:
            # Nothing was changed: it stays due, and holds up no other.
            _log.warning("a scheduled campaign waits", campaign=key, problem=error.message)
        except RuleError as error:
            # Such as of a time zone that is gone since it was scheduled.
            _log.error("a scheduled campaign cannot be launched", campaign=key, problem=str(error))
    return launched


def _launch_one(runtime: Runtime, connection: Connection, key: str) -> bool:
    now = runtime.clock.now()
    # The campaign first, as who schedules it does.
    campaign = locked(connection, key)
    kept = schedules.claim(connection, key, now)
    if kept is None or kept.next_local is None:
        return False
    if campaign.state != SCHEDULED:
        schedules.stop(connection, key)
        return False
    item = kept.schedule
    coming = launches(item, kept.next_local)
    following = next(coming, None)
    missed: list[tuple[datetime, datetime]] = []
    while following is not None and now - following[1] > item.catch_up:
        missed.append(following)
        following = next(coming, None)
    if missed:
        local, moment = missed[0]
        skipped = Occurrence(local=local, time=moment, run="", reason=TOO_LATE, count=len(missed))
        schedules.record(connection, key, skipped)
    run = ""
    if following is not None and following[1] <= now:
        local, moment = following
        run, reason = _begin(runtime, connection, campaign, kept, local)
        done = Occurrence(local=local, time=moment, run=run, reason=reason, count=1)
        schedules.record(connection, key, done)
        following = next(coming, None)
    next_local, next_moment = following or (None, None)
    schedules.move_on(connection, kept, next_local, next_moment, run)
    if following is None and run != key:
        # What was never launched is a draft again; a series is over.
        campaigns.set_state(connection, key, DONE if item.recurrence else DRAFT)
    return bool(run)


def _begin(
    runtime: Runtime, connection: Connection, campaign: Campaign, kept: Kept, local: datetime
) -> tuple[str, str]:
    """Launch an occurrence; returns the id of its run, or why there is none."""
    now = runtime.clock.now()
    if kept.schedule.recipient_time:
        # A run takes its time around the world, and the next one may begin meanwhile: what counts is that it is late.
        goes_on = schedules.is_crowded(connection, campaign.id, local - LEAST_APART, over_everywhere(now))
    else:
        goes_on = bool(kept.last_run) and schedules.is_running(connection, kept.last_run)
    if goes_on:
        return "", PREVIOUS_RUNS
    try:
        check_launch(runtime, connection, replace(campaign, state=DRAFT))
    except (FailedPrecondition, NotFound) as error:
        return "", error.reason
    recipient_local = local if kept.schedule.recipient_time else None
    if not kept.schedule.recurrence:
        campaigns.start(connection, campaign.id, change_plan("start", campaign), now, recipient_local)
        run = campaign.id
    else:
        run = f"{campaign.id}.{kept.run_count + 1}"
        made = replace(
            campaign,
            id=run,
            state=PLANNING,
            planned=False,
            create_time=now,
            launch_time=now,
            series=campaign.id,
            recipient_local=recipient_local,
        )
        assert campaigns.insert(connection, made), "the schedule's row is locked"
        links.copy_settings(connection, campaign.origin, made.origin)
        if (tried := experiments.get(connection, campaign.id)) is not None:
            # Each run is an experiment of its own: groups follow from its id, so they are drawn anew.
            experiments.insert(connection, replace(tried, campaign_id=run))
    request = campaign_pb2.LaunchCampaignRequest(name=format_name("campaigns", run))
    operations.create(connection, kit, LAUNCH, request, runtime.clock, unit="messages")
    return run, ""


def _check_experiment(connection: Connection, campaign: Campaign, given: Schedule) -> None:
    """Raise InvalidArgument (INVALID_SCHEDULE) when the experiment of a campaign, if it has one, cannot go with it."""
    tried = experiments.get(connection, campaign.id)
    if tried is None:
        return
    if given.recipient_time:
        # Who gets it a day later would have a day less until the planned end, and would differ by where it lives.
        raise InvalidArgument.field(
            "schedule.recipient_time",
            f"{campaign.origin} has an experiment, in which all have the same time to respond: send it at one moment, "
            "or delete the experiment",
            reason=INVALID,
        )
    moments = [moment for _, moment in islice(launches(given), _LOOKED_AT)]
    closest = min((after - before for before, after in pairwise(moments)), default=None)
    if closest is not None and closest <= tried.least_length:
        raise InvalidArgument.field(
            "schedule.recurrence",
            f"{campaign.origin} has an experiment that takes {tried.least_length} at least, and its next run would be "
            f"skipped, as it comes after {closest}: let it recur less often, or shorten the experiment",
            reason=INVALID,
        )


def _check(given: Schedule, now: datetime) -> None:
    try:
        check_schedule(given, now)
    except RuleError as error:
        raise InvalidArgument.field(f"schedule.{error.field}", str(error), reason=INVALID) from error


def _kept(connection: Connection, key: str) -> Kept:
    found = schedules.get(connection, key)
    if found is None:
        raise NotFound(
            f"campaigns/{key} does not exist, or was never scheduled",
            metadata={"resource": f"campaigns/{key}"},
        )
    return found
