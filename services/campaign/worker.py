"""The worker of campaign: launches, journeys, experiments, what orders tell, what came back, recovery and upkeep."""

from __future__ import annotations

from rapport.campaign.v1 import campaign_pb2, results_pb2, simulation_pb2

from services.campaign.codec import encode_counts
from services.campaign.simulation_codec import encode_simulation
from services.campaign.usecases import (
    attribution,
    campaigns,
    contact_dates,
    coupons,
    experiments,
    interactions,
    journey_actions,
    journey_control,
    journey_dates,
    journeys,
    launching,
    parting,
    reports,
    schedules,
    simulating,
    upkeep,
)
from services.kit.bus import EventBatch, OperationContext, RuntimeProvider, operation, subscribe, timer

_LAUNCHES = 32
_PATIENCE_SECONDS = 5.0
"""So long a launch that waits for its messages keeps its place among those that are followed at a time."""


class Worker:
    """Follow the events of the other services, and do what falls due."""

    name = "campaign"
    runtime = RuntimeProvider()

    @operation(campaigns.LAUNCH, concurrency=_LAUNCHES)
    def launch(self, op: OperationContext) -> campaign_pb2.LaunchCampaignResult:
        """Fix the audience of a campaign and follow its messages."""
        counts = launching.launch(self.runtime, op, _PATIENCE_SECONDS)
        return campaign_pb2.LaunchCampaignResult(counts=encode_counts(counts))

    @operation(attribution.RECOMPUTE, concurrency=1)
    def recompute_attribution(self, op: OperationContext) -> results_pb2.RecomputeAttributionResult:
        """Attribute all orders anew."""
        done = attribution.recompute(self.runtime, op)
        return results_pb2.RecomputeAttributionResult(
            order_count=done.orders, conversion_count=done.conversions, rule_revision=done.rule_revision
        )

    @operation(simulating.SIMULATE_CAMPAIGN)
    def simulate_campaign(self, op: OperationContext) -> simulation_pb2.SimulateCampaignResult:
        """Find out what a campaign would do."""
        found = simulating.simulate_campaign(self.runtime, op)
        return simulation_pb2.SimulateCampaignResult(simulation=encode_simulation(found))

    @operation(simulating.SIMULATE_JOURNEY)
    def simulate_journey(self, op: OperationContext) -> simulation_pb2.SimulateJourneyResult:
        """Find out what a journey would have done."""
        found = simulating.simulate_journey(self.runtime, op)
        return simulation_pb2.SimulateJourneyResult(simulation=encode_simulation(found))

    @subscribe("contacts", "contact.created", "contact.updated", "activity.recorded", batch_size=500)
    def start_from_contacts(self, batch: EventBatch) -> None:
        """Start journeys that contacts trigger."""
        journeys.start_journeys(self.runtime, batch)

    @subscribe("contacts", "contact.merged", "contact.erased", batch_size=100)
    def let_contacts_go(self, batch: EventBatch) -> None:
        """Give messages, journeys and coupons to the contacts that remain, or take contacts out of them."""
        parting.let_go(self.runtime, batch)

    @subscribe("sales", "order.placed", "order.returned", "payment.received", batch_size=500)
    def start_from_sales(self, batch: EventBatch) -> None:
        """Start journeys that orders, returns and payments trigger."""
        journeys.start_journeys(self.runtime, batch)

    @subscribe("segmentation", "segment.entered", "segment.left", batch_size=500)
    def start_from_segments(self, batch: EventBatch) -> None:
        """Start journeys that memberships trigger."""
        journeys.start_journeys(self.runtime, batch)

    @subscribe("sales", "order.placed", batch_size=500)
    def redeem_coupons(self, batch: EventBatch) -> None:
        """Redeem the coupons that customers showed."""
        coupons.redeem_of_orders(self.runtime, batch)

    @subscribe("sales", "order.placed", "order.returned", batch_size=500)
    def take_sales(self, batch: EventBatch) -> None:
        """Keep orders and returns, and attribute them to messages."""
        attribution.take_sales(self.runtime, batch)

    @timer(seconds=0.5)
    def advance_journeys(self) -> None:
        """Take the steps of journeys that are due."""
        journeys.advance_journeys(self.runtime)

    @timer(seconds=1.0)
    def do_journey_actions(self) -> None:
        """Do what journeys bring about in other services."""
        journey_actions.do_actions(self.runtime)

    @timer(seconds=15.0)
    def start_by_dates(self) -> None:
        """Start the journeys whose dates local clocks have reached."""
        journey_dates.start_by_dates(self.runtime)

    @timer(seconds=5.0)
    def read_contact_dates(self) -> None:
        """Read the dates of contacts from before a journey asked for them."""
        contact_dates.read_contacts(self.runtime)

    @timer(seconds=1.0)
    def launch_scheduled(self) -> None:
        """Launch the campaigns that are due by their schedules."""
        schedules.launch_due(self.runtime)

    @timer(seconds=1.0)
    def cancel_rest(self) -> None:
        """Cancel what is left of cancelled campaigns and journeys."""
        campaigns.cancel_rest(self.runtime)
        journey_control.cancel_rest(self.runtime)

    @timer(seconds=2.0)
    def advance_experiments(self) -> None:
        """Declare winners at the planned end, and give them to those who wait."""
        experiments.advance(self.runtime)

    @timer(seconds=2.0)
    def recover_messages(self) -> None:
        """Recover the messages of dead senders, also when no sender runs."""
        upkeep.recover_messages(self.runtime)

    @timer(seconds=1.0)
    def settle_interactions(self) -> None:
        """Decide who made the openings and clicks whose time has come."""
        interactions.settle(self.runtime)

    @timer(seconds=60.0)
    def forget_interactions(self) -> None:
        """Delete old interactions, and what has been in quarantine too long."""
        interactions.forget_old(self.runtime)
        reports.prune_quarantine(self.runtime)

    @timer(seconds=60.0)
    def forget_simulations(self) -> None:
        """Delete old simulations."""
        simulating.forget_old(self.runtime)

    @timer(seconds=60.0)
    def forget_places(self) -> None:
        """Delete places that no frequency cap counts any more."""
        upkeep.forget_places(self.runtime)
