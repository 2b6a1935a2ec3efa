"""The tables of campaign, one module for each subject; importing this knows them all."""

from services.campaign.models.approvals import approval, approval_policy
from services.campaign.models.base import contact_gone, kit, metadata
from services.campaign.models.campaigns import campaign
from services.campaign.models.content import (
    coupon,
    coupon_code,
    coupon_pool,
    link,
    link_settings,
    template,
)
from services.campaign.models.experiments import experiment, hold_out
from services.campaign.models.journeys import (
    contact_date,
    date_attribute,
    journey,
    journey_action,
    journey_contact,
    journey_entry,
    journey_listen,
    journey_move,
    journey_pause,
    journey_signal,
    journey_version,
)
from services.campaign.models.ledger import (
    channel,
    message,
    message_resolution,
    opt_out,
    sending_hold,
    suppression,
)
from services.campaign.models.limits import circuit, rate_bucket, rate_limit, recent_send, send_policy
from services.campaign.models.results import (
    AMOUNT,
    attribution_rule,
    budget,
    channel_cost_history,
    conversion,
    sale,
)
from services.campaign.models.schedules import campaign_occurrence, campaign_schedule
from services.campaign.models.simulations import (
    simulated_entry,
    simulated_event,
    simulated_message,
    simulation,
)
from services.campaign.models.tracking import delivery_report, interaction, quarantine

__all__ = [
    "AMOUNT",
    "approval",
    "approval_policy",
    "attribution_rule",
    "budget",
    "campaign",
    "campaign_occurrence",
    "campaign_schedule",
    "channel",
    "channel_cost_history",
    "circuit",
    "contact_date",
    "contact_gone",
    "conversion",
    "coupon",
    "coupon_code",
    "coupon_pool",
    "date_attribute",
    "delivery_report",
    "experiment",
    "hold_out",
    "interaction",
    "journey",
    "journey_action",
    "journey_contact",
    "journey_entry",
    "journey_listen",
    "journey_move",
    "journey_pause",
    "journey_signal",
    "journey_version",
    "kit",
    "link",
    "link_settings",
    "message",
    "message_resolution",
    "metadata",
    "opt_out",
    "quarantine",
    "rate_bucket",
    "rate_limit",
    "recent_send",
    "sale",
    "send_policy",
    "sending_hold",
    "simulated_entry",
    "simulated_event",
    "simulated_message",
    "simulation",
    "suppression",
    "template",
]
