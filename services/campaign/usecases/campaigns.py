"""Campaigns: made as drafts, launched, paused, resumed, cancelled."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from google.protobuf.message import Message as ProtoMessage
from rapport.operations.v1.operations_pb2 import Operation
from sqlalchemy import Connection

from services.campaign.channels import known_channels
from services.campaign.domain.campaigns import (
    CANCELLED,
    CONTENTS,
    DRAFT,
    RETRY,
    SCHEDULED,
    Campaign,
    StateError,
    after,
)
from services.campaign.domain.experiments import Variant, check_by_arrival
from services.campaign.domain.ids import RuleError, check_id
from services.campaign.domain.ledger import Counts
from services.campaign.models import kit
from services.campaign.store import campaigns as store
from services.campaign.store import coupons, experiments, ledger
from services.campaign.usecases import approvals, channel_checks
from services.campaign.usecases.campaign_checks import NOT_IDEMPOTENT, check_asked, check_given
from services.campaign.usecases.checks import exists_already, refuse
from services.campaign.usecases.experiments import uses
from services.kit import operations
from services.kit.errors import FailedPrecondition, NotFound
from services.kit.names import format_name
from services.kit.plugins import ChannelRecord
from services.kit.runtime import Runtime

LAUNCH = "launch_campaign"
CANCEL_AT_ONCE = 20_000
Counted = tuple[Campaign, Counts]


def create_campaign(runtime: Runtime, connection: Connection, given: Campaign) -> Campaign:
    """Store a new campaign as a draft; raises AlreadyExists, NotFound, InvalidArgument, Unavailable."""
    try:
        check_id(given.id)
    except RuleError as error:
        raise refuse(error, "campaign_id") from error
    check_given(runtime, connection, given)
    made = replace(given, state=DRAFT, planned=False, create_time=runtime.clock.now(), launch_time=None)
    if not store.insert(connection, made):
        raise exists_already(format_name("campaigns", made.id))
    return made


def update_campaign(runtime: Runtime, connection: Connection, given: Campaign) -> Campaign:
    """Store other contents of a draft, or of a scheduled campaign, whose schedule holds on.

    Raises NotFound, InvalidArgument, FailedPrecondition (CAMPAIGN_STATE), Unavailable.
    """
    present = locked(connection, given.id)
    state = change_plan("change", present)
    check_given(runtime, connection, given)
    changed = replace(present, **{name: getattr(given, name) for name in CONTENTS})
    if state == SCHEDULED:
        # What would not be launched when it is due must be told now.
        check_launch(runtime, connection, replace(changed, state=DRAFT))
        check_asked(runtime, connection, changed)
    store.update(connection, changed)
    return changed


def get_campaign(runtime: Runtime, key: str) -> Counted:
    """Return a campaign with its counts; raises NotFound."""
    with runtime.db.read() as connection:
        found = store.get(connection, key)
        if found is None:
            raise NotFound.resource(format_name("campaigns", key))
        return found, ledger.counts(connection, [found.origin])[found.origin]


def list_campaigns(runtime: Runtime, *, after_id: str, count: int, segment: str = "") -> list[Counted]:
    """Return the next campaigns by id, with their counts; segment: only those to it, empty for all."""
    with runtime.db.read() as connection:
        found = store.page(connection, after=after_id, count=count, segment=segment)
        counts = ledger.counts(connection, [item.origin for item in found])
    return [(item, counts[item.origin]) for item in found]


def launch_campaign(runtime: Runtime, key: str, request: ProtoMessage, request_id: str) -> Operation:
    """Start the launch as a long-running operation; the same request id returns the first one.

    request: what the operation keeps, without the id. Raises as check_launch and check_asked.
    """
    with runtime.db.transaction() as connection:
        campaign = locked(connection, key)
        again = bool(request_id) and store.has_operation(connection, LAUNCH, request_id)
        if not again:
            check_launch(runtime, connection, campaign)
            check_asked(runtime, connection, campaign)
            store.set_state(connection, key, change_plan("launch", campaign), runtime.clock.now())
        return operations.create(
            connection, kit, LAUNCH, request, runtime.clock, request_id=request_id, unit="messages"
        )


def check_launch(
    runtime: Runtime, connection: Connection, campaign: Campaign, recurrence: str | None = None
) -> None:
    """Raise FailedPrecondition when it cannot be launched; recurrence: as approvals.require takes it.

    Reasons: CAMPAIGN_STATE, EVERGREEN_EXPERIMENT, UNKNOWN_CHANNEL, CHANNEL_NOT_IDEMPOTENT, COUPON_POOL_EXPIRED,
    APPROVAL_REQUIRED, APPROVAL_VOID. Raises NotFound and Unavailable when approval asks for the segment.
    """
    change_plan("launch", campaign)
    tried = experiments.get(connection, campaign.id)
    if tried is not None and campaign.evergreen:
        # It may have become so after the experiment was made.
        try:
            check_by_arrival(tried)
        except RuleError as error:
            raise FailedPrecondition(
                f"{campaign.origin} has an experiment whose {error.field} {error}",
                reason="EVERGREEN_EXPERIMENT",
            ) from error
    sent = uses(tried, campaign)
    channels = check_channels(runtime, campaign, sent)
    if campaign.unknown_policy == RETRY and (
        twice := sorted({item.channel for item in sent if not channels[item.channel].idempotent})
    ):
        # Of the variants of an experiment, or a channel that lost this quality since.
        raise FailedPrecondition(
            f"{campaign.origin} sends again what is unknown, but {twice[0]} may deliver a message twice: hold it "
            "instead",
            reason=NOT_IDEMPOTENT,
        )
    wanted = {item.coupon_pool_id for item in sent if item.coupon_pool_id}
    pools = coupons.pools(connection, wanted) if wanted else {}
    now = runtime.clock.now()
    for pool in pools.values():
        if pool.expire_time is not None and pool.expire_time <= now:
            raise FailedPrecondition(
                f"{campaign.origin}: the coupons of couponPools/{pool.id} expired at {pool.expire_time.isoformat()}, "
                "nobody could redeem one; draft it anew with another pool",
                reason="COUPON_POOL_EXPIRED",
            )
    approvals.require(runtime, connection, campaign, recurrence)


def check_channels(
    runtime: Runtime, campaign: Campaign, sent: Sequence[Variant]
) -> Mapping[str, ChannelRecord]:
    """Return the channels that there are; raises FailedPrecondition (UNKNOWN_CHANNEL) when one that it needs is not."""
    channels = known_channels(runtime)
    if missing := sorted({item.channel for item in sent} - set(channels)):
        raise FailedPrecondition(
            f"{campaign.origin}: no plugin offers the channel {missing[0]!r} any more; "
            f"there are: {', '.join(sorted(channels)) or 'none'}",
            reason="UNKNOWN_CHANNEL",
        )
    return channels


def channel_warnings(runtime: Runtime, key: str) -> list[str]:
    """Return why the channels of a campaign would not take its messages now: they wait until that is put right."""
    with runtime.db.read() as connection:
        campaign = store.get(connection, key)
        if campaign is None:
            return []
        sent = uses(experiments.get(connection, key), campaign)
    told = channel_checks.problems(runtime, {item.channel for item in sent})
    return [f"{item}; messages wait until that is put right" for item in told]


def change_state(runtime: Runtime, action: str, key: str) -> Counted:
    """Pause, resume or cancel a campaign; raises NotFound, FailedPrecondition (CAMPAIGN_STATE)."""
    with runtime.db.transaction() as connection:
        campaign = locked(connection, key)
        state = change_plan(action, campaign)
        store.set_state(connection, key, state)
        if state == CANCELLED:
            # The rest, if there are more, is the worker's; the senders take none of them from now on.
            ledger.cancel_planned(connection, campaign.origin, CANCEL_AT_ONCE)
        else:
            ledger.notify(connection)
        counts = ledger.counts(connection, [campaign.origin])[campaign.origin]
        return replace(campaign, state=state), counts


def cancel_rest(runtime: Runtime) -> int:
    """Cancel planned messages of cancelled campaigns, some thousand at a time; returns how many."""
    total = 0
    with runtime.db.read() as connection:
        left: Sequence[str] = store.cancelled_with_planned(connection)
    for key in left:
        with runtime.db.transaction() as connection:
            total += ledger.cancel_planned(connection, format_name("campaigns", key), CANCEL_AT_ONCE)
    return total


def locked(connection: Connection, key: str) -> Campaign:
    """Return a campaign, locked until the transaction ends; raises NotFound."""
    found = store.get(connection, key, lock=True)
    if found is None:
        raise NotFound.resource(format_name("campaigns", key))
    return found


def change_plan(action: str, campaign: Campaign) -> str:
    """Return the state after an action; raises FailedPrecondition (CAMPAIGN_STATE)."""
    try:
        return after(action, campaign)
    except StateError as error:
        raise FailedPrecondition(
            str(error), reason="CAMPAIGN_STATE", metadata={"state": campaign.state}
        ) from error
