"""The launch of a campaign: its audience is fixed page by page, then the sending is followed to its end."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from datetime import datetime
from math import inf
from uuid import UUID

import grpc
from rapport.campaign.v1 import campaign_pb2
from rapport_client.errors import RapportError as ClientError
from sqlalchemy import Connection

from services.campaign.domain.campaigns import (
    CANCELLED,
    DONE,
    DRAFT,
    PAUSED,
    PLANNING,
    RUNNING,
    SENDING,
    Campaign,
)
from services.campaign.domain.experiments import Experiment
from services.campaign.domain.ledger import Counts, NewMessage
from services.campaign.domain.localtime import at_local
from services.campaign.store import campaigns as store
from services.campaign.store import experiments as experiment_store
from services.campaign.store import ledger
from services.campaign.usecases import experiments
from services.campaign.usecases.campaigns import CANCEL_AT_ONCE
from services.campaign.usecases.journey_moving import zones_of
from services.kit.errors import Cancelled, FailedPrecondition, NotFound
from services.kit.names import new_id, parse_key, parse_name
from services.kit.operations import OperationContext, OperationWaits
from services.kit.runtime import Runtime
from services.kit.transient import is_transient

PAGE = 10_000
LOOK_SECONDS = 0.5
_FINAL = {
    grpc.StatusCode.NOT_FOUND,
    grpc.StatusCode.INVALID_ARGUMENT,
    grpc.StatusCode.FAILED_PRECONDITION,
}


def launch(runtime: Runtime, op: OperationContext, patience: float = inf) -> Counts:
    """Plan a message for each member of the segment, follow the senders until none is left, and return the counts.

    Begins where `op.state` says. A cancelled operation cancels the campaign. Follows for `patience` seconds, then
    raises OperationWaits: messages may take days, as of a campaign that is paused.
    """
    request = op.request
    assert isinstance(request, campaign_pb2.LaunchCampaignRequest)
    key = parse_key(request.name, "campaigns")
    try:
        if not op.state.get("planned"):
            _plan(runtime, op, key)
        return _follow(runtime, op, key, patience)
    except Cancelled:
        with runtime.db.transaction() as connection:
            campaign = store.get(connection, key, lock=True)
            if campaign is not None and campaign.state in RUNNING:
                store.set_state(connection, key, CANCELLED)
                ledger.cancel_planned(connection, campaign.origin, CANCEL_AT_ONCE)
        raise


def _plan(runtime: Runtime, op: OperationContext, key: str) -> None:
    token, total = str(op.state.get("page_token", "")), int(op.state.get("total", 0))
    with runtime.db.read() as connection:
        campaign = _existing(connection, key)
    while True:
        op.raise_if_cancelled()
        try:
            page = runtime.clients.segmentation.list_members(
                segment=campaign.segment, page_size=PAGE, page_token=token
            )
        except ClientError as error:
            if not is_transient(error) and error.code in _FINAL:
                raise _give_up(runtime, campaign, error) from error
            raise
        contacts = [parse_name(name, "contacts") for name in page.contacts]
        now = runtime.clock.now()
        due_times = due_times_of(runtime, campaign, contacts, now)
        with runtime.db.transaction() as connection:
            # The lock keeps a cancellation from passing between the look and the plan.
            campaign = _existing(connection, key, lock=True)
            last = campaign.state == CANCELLED or not page.next_page_token
            experiment = experiment_store.get(connection, key, lock=True)
            if campaign.state != CANCELLED:
                total += _plan_page(connection, campaign, experiment, contacts, now, due_times)
            if last and campaign.state != CANCELLED:
                store.set_planned(connection, key)
                experiments.start(connection, campaign, now)
                if campaign.state == PLANNING:
                    store.set_state(connection, key, SENDING)
                ledger.notify(connection)
            token = page.next_page_token
            state = {"page_token": token, "total": total, "planned": last}
            op.checkpoint(connection, state, completed=0, total=total, stage="planning")
        if last:
            return


def due_times_of(
    runtime: Runtime, campaign: Campaign, contacts: Sequence[UUID], now: datetime
) -> list[datetime] | None:
    """Return when the recipients' own clocks show the campaign's time; None when it goes out at once."""
    local = campaign.recipient_local
    if local is None:
        return None
    zones = zones_of(runtime, contacts)
    return [max(now, at_local(local.date(), local.time(), zones[key])) for key in contacts]


def _plan_page(
    connection: Connection,
    campaign: Campaign,
    experiment: Experiment | None,
    contacts: list[UUID],
    now: datetime,
    due_times: list[datetime] | None,
) -> int:
    ids = [new_id() for _ in contacts]
    if experiment is not None:
        return experiments.plan_page(connection, campaign, experiment, ids, contacts, now)
    return ledger.plan_campaign(connection, model_of(campaign), ids, contacts, now, due_times)


def model_of(campaign: Campaign) -> NewMessage:
    """Return the message to be planned for each contact."""
    return NewMessage(
        id=new_id(),
        origin=campaign.origin,
        lane=campaign.origin,
        contact_id=None,
        channel=campaign.channel,
        topic=campaign.topic,
        template_id=campaign.template_id,
        coupon_pool_id=campaign.coupon_pool_id,
    )


def _give_up(runtime: Runtime, campaign: Campaign, error: ClientError) -> NotFound | FailedPrecondition:
    """Make the campaign a draft again when nothing is planned yet, and return the error of the operation."""
    with runtime.db.transaction() as connection:
        now = _existing(connection, campaign.id, lock=True)
        if now.state in (PLANNING, PAUSED) and ledger.states(connection, campaign.origin).audience == 0:
            store.set_state(connection, campaign.id, DRAFT)
    text = f"the members of {campaign.segment} cannot be listed: {error.message}"
    if error.code == grpc.StatusCode.NOT_FOUND:
        return NotFound(text, reason=error.reason or None, metadata={"resource": campaign.segment})
    return FailedPrecondition(text, reason=error.reason or None, metadata={"resource": campaign.segment})


def _follow(runtime: Runtime, op: OperationContext, key: str, patience: float = inf) -> Counts:
    # Not time.sleep, which belongs to the worker's hub.
    pause = threading.Event()
    begun = time.monotonic()
    while True:
        op.raise_if_cancelled()
        started = time.monotonic()
        with runtime.db.transaction() as connection:
            campaign = _existing(connection, key)
            counts = ledger.states(connection, campaign.origin)
            if counts.open == 0:
                campaign = _existing(connection, key, lock=True)
                # An evergreen campaign goes on, although its launch is over.
                if campaign.state in (SENDING, PAUSED) and not campaign.evergreen:
                    store.set_state(connection, key, DONE)
                counts = ledger.counts(connection, [campaign.origin])[campaign.origin]
            op.checkpoint(
                connection,
                completed=counts.audience - counts.open,
                total=counts.audience,
                stage=campaign.state,
            )
        if counts.open == 0:
            return counts
        # Counting a large campaign takes its time: most of the database's is for the senders.
        now = time.monotonic()
        seconds = max(LOOK_SECONDS, 5 * (now - started))
        if now - begun >= patience:
            raise OperationWaits(seconds)
        pause.wait(seconds)


def _existing(connection: Connection, key: str, *, lock: bool = False) -> Campaign:
    found = store.get(connection, key, lock=lock)
    if found is None:
        raise NotFound.resource(f"campaigns/{key}")
    return found
