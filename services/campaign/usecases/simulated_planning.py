"""The plan of a simulated campaign: its audience, page by page, each member with its group and due time."""

from __future__ import annotations

from dataclasses import replace

import grpc
from rapport_client.errors import RapportError as ClientError

from services.campaign.domain.campaigns import Campaign
from services.campaign.domain.experiments import (
    HELD_OUT,
    WAITING,
    Experiment,
    Sample,
    assign,
    share_of,
)
from services.campaign.domain.simulations import FOR_WINNER, OPEN, REFUSE, WAIT, Planned, Simulation
from services.campaign.store import simulations as store
from services.campaign.usecases.launching import PAGE, due_times_of
from services.kit.errors import FailedPrecondition, NotFound
from services.kit.names import parse_name
from services.kit.operations import OperationContext
from services.kit.runtime import Runtime


def plan(
    runtime: Runtime,
    op: OperationContext,
    simulation: Simulation,
    campaign: Campaign,
    experiment: Experiment | None,
) -> int:
    """Plan a message for each member of the segment, now or as of a past time; returns how many."""
    start = simulation.start_time
    past = start if start < simulation.create_time else None
    token, number = "", 0
    sample = None
    if experiment is not None and campaign.evergreen:
        # However far it is: from the beginning.
        sample = Sample(replace(experiment, end_time=None, winner=""), {})
    while True:
        op.raise_if_cancelled()
        try:
            page = runtime.clients.segmentation.list_members(
                segment=campaign.segment, page_size=PAGE, page_token=token, as_of_time=past
            )
        except ClientError as error:
            if error.code is grpc.StatusCode.NOT_FOUND:
                raise NotFound.resource(campaign.segment) from error
            if error.code is grpc.StatusCode.FAILED_PRECONDITION:
                raise FailedPrecondition(
                    f"the members of {campaign.segment} cannot be listed: {error.message}",
                    reason=error.reason or None,
                    metadata={"resource": campaign.segment},
                ) from error
            raise
        contacts = [parse_name(name, "contacts") for name in page.contacts]
        if experiment is not None:
            groups = assign(experiment, contacts) if sample is None else sample.place(contacts)
            shares = [share_of(campaign, group, start) for group in groups]
            items = [
                Planned(
                    number=place,
                    contact_id=contact,
                    channel=share.channel,
                    topic=campaign.topic,
                    template_id=share.template_id,
                    coupon_pool_id=share.coupon_pool_id,
                    variant=share.variant,
                    due_time=start + experiment.duration if share.due_time == WAITING else share.due_time,
                    decision=REFUSE if share.held_out else WAIT if share.due_time == WAITING else OPEN,
                    reason=HELD_OUT if share.held_out else FOR_WINNER if share.due_time == WAITING else "",
                )
                for place, (contact, share) in enumerate(zip(contacts, shares, strict=True), number)
            ]
        else:
            due_times = due_times_of(runtime, campaign, contacts, start)
            items = [
                Planned(
                    number=place,
                    contact_id=contact,
                    channel=campaign.channel,
                    topic=campaign.topic,
                    template_id=campaign.template_id,
                    coupon_pool_id=campaign.coupon_pool_id,
                    due_time=start if due_times is None else due_times[place - number],
                )
                for place, contact in enumerate(contacts, number)
            ]
        number += len(items)
        with runtime.db.transaction() as connection:
            store.plan(connection, simulation.id, items)
            op.checkpoint(connection, completed=0, total=number, stage="planning")
        token = page.next_page_token
        if not token:
            return number
