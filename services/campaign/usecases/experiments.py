"""Experiments: made of drafts, decided at their planned end, their results; and the global hold-out."""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from uuid import UUID

from sqlalchemy import Connection

from services.campaign.channels import known_channels
from services.campaign.domain.campaigns import CANCELLED, Campaign
from services.campaign.domain.campaigns import DRAFT as CAMPAIGN_DRAFT
from services.campaign.domain.experiments import (
    DECIDED,
    DRAFT,
    RELEASING,
    RUNNING,
    Experiment,
    HoldOut,
    Sample,
    Variant,
    assign,
    check,
    check_by_arrival,
)
from services.campaign.domain.ids import RuleError
from services.campaign.domain.verdicts import (
    SizePlan,
    Verdict,
    judge,
    plan_size,
    together,
    too_small,
    winner,
    words,
)
from services.campaign.store import campaigns as campaign_store
from services.campaign.store import experiments as store
from services.campaign.store import ledger
from services.campaign.usecases.checks import require_pools, require_templates
from services.kit.errors import AlreadyExists, FailedPrecondition, InvalidArgument, NotFound
from services.kit.names import format_name
from services.kit.runtime import Runtime

_AT_ONCE = 20_000
_INVALID = "INVALID_EXPERIMENT"


@dataclass(frozen=True, slots=True)
class Results:
    """Hold what the groups did and what it means. whole: all variants together; too_small: by what was planned."""

    experiment: Experiment
    final: bool
    verdicts: Sequence[Verdict]
    summary: Sequence[str]
    as_of_time: datetime
    whole: Verdict | None = None
    too_small: bool = False


def plan(
    *,
    rate: float,
    effect: float,
    power: float,
    alpha: float,
    arms: int,
    audience: int,
    per_day: int,
    window: timedelta,
    hold_out: bool = False,
) -> SizePlan:
    """Return how large an experiment must be; raises InvalidArgument."""
    if not 0 < rate < 1:
        raise InvalidArgument.field(
            "baseline_rate", f"must lie between 0 and 1, as 0.02 for 2 %, not {rate:g}"
        )
    if effect <= 0 or rate + effect >= 1:
        raise InvalidArgument.field(
            "minimal_effect", f"must be above 0 and, with the baseline rate, below 1, not {effect:g}"
        )
    if not 0.5 <= power <= 0.999:
        raise InvalidArgument.field("power", f"must be from 0.5 to 0.999, not {power:g}")
    if not 0.001 <= alpha <= 0.2:
        raise InvalidArgument.field("alpha", f"must be from 0.001 to 0.2, not {alpha:g}")
    if arms < 2:
        raise InvalidArgument.field(
            "arm_count", "must be at least 2: the control and what is compared with it"
        )
    return plan_size(
        rate=rate,
        effect=effect,
        power=power,
        alpha=alpha,
        arms=arms,
        audience=audience,
        per_day=per_day,
        window=window,
        hold_out=hold_out,
    )


def create(runtime: Runtime, connection: Connection, given: Experiment) -> Experiment:
    """Store the experiment of a draft.

    Raises NotFound, AlreadyExists, FailedPrecondition (CAMPAIGN_STATE), InvalidArgument (INVALID_EXPERIMENT).
    """
    try:
        check(given)
    except RuleError as error:
        raise InvalidArgument.field(f"experiment.{error.field}", str(error), reason=_INVALID) from error
    if _draft(connection, given.campaign_id).evergreen:
        try:
            check_by_arrival(given)
        except RuleError as error:
            raise InvalidArgument.field(f"experiment.{error.field}", str(error), reason=_INVALID) from error
    channels = known_channels(runtime)
    for index, variant in enumerate(given.variants):
        if variant.channel and variant.channel not in channels:
            raise InvalidArgument.field(
                f"experiment.variants[{index}].channel",
                f"no plugin offers {variant.channel!r}; there are: {', '.join(sorted(channels)) or 'none'}",
                reason=_INVALID,
            )
    require_templates(connection, {item.template_id for item in given.variants if item.template_id})
    require_pools(connection, {item.coupon_pool_id for item in given.variants})
    made = replace(given, state=DRAFT, end_time=None, winner="", decision="", decide_time=None)
    if not store.insert(connection, made):
        raise AlreadyExists(
            f"campaigns/{given.campaign_id} has an experiment already; delete it first",
            metadata={"resource": format_name("campaigns", given.campaign_id)},
        )
    return made


def get(runtime: Runtime, campaign_id: str) -> Experiment:
    """Return the experiment of a campaign; raises NotFound."""
    with runtime.db.read() as connection:
        return _existing(connection, campaign_id)


def delete(runtime: Runtime, campaign_id: str) -> None:
    """Take the experiment from a draft; raises NotFound, FailedPrecondition (CAMPAIGN_STATE)."""
    with runtime.db.transaction() as connection:
        _draft(connection, campaign_id)
        store.delete(connection, campaign_id)


def plan_page(
    connection: Connection,
    campaign: Campaign,
    experiment: Experiment,
    ids: Sequence[UUID],
    contacts: Sequence[UUID],
    now: datetime,
) -> int:
    """Plan a page of an audience, each contact in its group; returns how many are new.

    Of an evergreen campaign it is who came next, and the planned end is set when they complete the sample. Then the
    experiment's row must be locked.
    """
    if not campaign.evergreen:
        return store.plan_groups(connection, campaign, ids, contacts, assign(experiment, contacts), now)
    there = store.planned_among(connection, campaign.origin, contacts)
    fresh = [(key, contact) for key, contact in zip(ids, contacts, strict=True) if contact not in there]
    collects = experiment.end_time is None and not experiment.winner
    sample = Sample(experiment, store.sizes(connection, campaign.origin) if collects else {})
    groups = sample.place([contact for _, contact in fresh])
    if collects and sample.complete:
        store.update(connection, replace(experiment, end_time=now + experiment.duration))
    return store.plan_groups(
        connection, campaign, [key for key, _ in fresh], [contact for _, contact in fresh], groups, now
    )


def start(connection: Connection, campaign: Campaign, now: datetime) -> None:
    """Let the time of a campaign's experiment run, if it has one, as its audience is complete.

    That of an evergreen one runs from when its sample is.
    """
    found = store.get(connection, campaign.id, lock=True)
    if found is not None and found.state == DRAFT:
        end = found.end_time if campaign.evergreen else now + found.duration
        store.update(connection, replace(found, state=RUNNING, end_time=end))


def declare_winner(runtime: Runtime, campaign_id: str, variant: str) -> Experiment:
    """Decide by hand; the same again changes nothing. Raises NotFound, FailedPrecondition (EXPERIMENT_STATE)."""
    now = runtime.clock.now()
    with runtime.db.transaction() as connection:
        found = _existing(connection, campaign_id, lock=True)
        if found.variant(variant) is None:
            known = ", ".join(item.id for item in found.variants)
            raise NotFound(
                f"campaigns/{campaign_id} has no variant {variant!r}; there are: {known}", reason="NO_VARIANT"
            )
        if found.state in (RELEASING, DECIDED) and found.winner == variant:
            return found
        if found.state != RUNNING:
            raise FailedPrecondition(
                f"the experiment of campaigns/{campaign_id} is {found.state}: a winner is declared once, while it runs",
                reason="EXPERIMENT_STATE",
                metadata={"state": found.state},
            )
        # A sample that is not complete ends here: who comes now gets the winner.
        end = found.end_time or now + found.duration
        early = now < end
        decided = replace(
            found,
            state=RELEASING,
            end_time=end,
            winner=variant,
            decision=f"{variant} was declared the winner by hand{', before the planned end' if early else ''}",
            decide_time=now,
        )
        store.update(connection, decided)
    return decided


def advance(runtime: Runtime) -> int:
    """Decide experiments whose planned end has come, and give winners to those who wait; returns how many got one.

    Samples to which nobody is added any more, as their campaign was cancelled, end. Any number of processes may do it
    at once.
    """
    with runtime.db.read() as connection:
        keys = store.due(connection, runtime.clock.now())
        unfilled = store.unfilled(connection)
    for key in unfilled:
        _close_sample(runtime, key)
    released = 0
    for key in keys:
        _decide(runtime, key)
        while count := _release(runtime, key):
            released += count
    return released


def results(runtime: Runtime, campaign_id: str) -> Results:
    """Return what the groups of an experiment did, as of one moment; raises NotFound."""
    with runtime.db.snapshot() as connection:
        return _results(connection, _existing(connection, campaign_id), runtime.clock.now())


def set_hold_out(runtime: Runtime, percent: float, period_days: int) -> HoldOut:
    """Set which share of all contacts gets nothing but transactional messages; raises InvalidArgument."""
    if period_days and period_days < 7:
        raise InvalidArgument.field(
            "hold_out.period_days", f"must be 0, or from 7 to 3,650, not {period_days}"
        )
    with runtime.db.transaction() as connection:
        known = store.get_hold_out(connection, lock=True)
        if known is None or known.period_days != period_days:
            known = HoldOut(
                percent=percent,
                period_days=period_days,
                salt=secrets.token_hex(8),
                start_time=runtime.clock.now(),
            )
        same = known.percent == percent and known.change_time is not None
        changed = replace(
            known, percent=percent, change_time=known.change_time if same else runtime.clock.now()
        )
        store.set_hold_out(connection, changed)
    return changed


def get_hold_out(runtime: Runtime) -> HoldOut | None:
    """Return the global hold-out, or None when none was set."""
    with runtime.db.read() as connection:
        return store.get_hold_out(connection)


def _results(connection: Connection, experiment: Experiment, now: datetime) -> Results:
    final = experiment.end_time is not None and now >= experiment.end_time
    until = experiment.end_time if final and experiment.end_time else now
    arms = store.arms(connection, experiment, until)
    verdicts = judge(experiment, arms, final=final)
    whole = together(experiment, arms, final=final)
    return Results(
        experiment,
        final,
        verdicts,
        words(experiment, verdicts, final=final, now=now, whole=whole),
        until,
        whole,
        too_small(experiment, arms),
    )


def _decide(runtime: Runtime, campaign_id: str) -> None:
    with runtime.db.transaction() as connection:
        now = runtime.clock.now()
        found = _existing(connection, campaign_id, lock=True)
        if found.state != RUNNING or found.by_hand or found.end_time is None or found.end_time > now:
            return
        chosen, why = winner(found, _results(connection, found, now).verdicts)
        store.update(
            connection, replace(found, state=RELEASING, winner=chosen, decision=why, decide_time=now)
        )


def _close_sample(runtime: Runtime, campaign_id: str) -> None:
    with runtime.db.transaction() as connection:
        found = _existing(connection, campaign_id, lock=True)
        if found.state == RUNNING and found.end_time is None:
            store.update(connection, replace(found, end_time=runtime.clock.now() + found.duration))


def _release(runtime: Runtime, campaign_id: str) -> int:
    with runtime.db.transaction() as connection:
        # In the order in which all lock them: the campaign, then its experiment.
        campaign = campaign_store.get(connection, campaign_id, share=True)
        found = _existing(connection, campaign_id, lock=True)
        chosen = found.variant(found.winner)
        if found.state != RELEASING or campaign is None or chosen is None:
            return 0
        count = 0
        if campaign.state != CANCELLED:
            count = store.release(connection, campaign, chosen, runtime.clock.now(), _AT_ONCE)
        if count:
            ledger.notify(connection)
        # A row that somebody else has locked was passed over: it keeps the experiment open.
        elif campaign.state == CANCELLED or not store.waiting(connection, campaign.origin):
            store.update(connection, replace(found, state=DECIDED))
    return count


def _draft(connection: Connection, key: str) -> Campaign:
    campaign = campaign_store.get(connection, key, lock=True)
    if campaign is None:
        raise NotFound.resource(format_name("campaigns", key))
    if campaign.state != CAMPAIGN_DRAFT:
        raise FailedPrecondition(
            f"{campaign.origin} is {campaign.state}: the experiment of a draft only can be changed",
            reason="CAMPAIGN_STATE",
            metadata={"state": campaign.state},
        )
    return campaign


def _existing(connection: Connection, campaign_id: str, *, lock: bool = False) -> Experiment:
    found = store.get(connection, campaign_id, lock=lock)
    if found is None:
        if campaign_store.get(connection, campaign_id) is None:
            raise NotFound.resource(format_name("campaigns", campaign_id))
        raise NotFound(f"campaigns/{campaign_id} has no experiment", reason="NO_EXPERIMENT")
    return found


def uses(experiment: Experiment | None, campaign: Campaign) -> list[Variant]:
    """Return what a campaign sends, each way with nothing left empty but the coupon pool."""
    variants = experiment.variants if experiment else (Variant(id=""),)
    return [
        replace(
            item,
            template_id=item.template_id or campaign.template_id,
            channel=item.channel or campaign.channel,
            coupon_pool_id=item.coupon_pool_id or campaign.coupon_pool_id,
        )
        for item in variants
    ]
