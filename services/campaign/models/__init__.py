"""The tables of campaign, one module for each subject; importing this knows them all."""

from services.campaign.models.approvals import approval, approval_policy
from services.campaign.models.base import contact_gone, kit, metadata
from services.campaign.models.campaigns import campaign
from services.campaign.models.content import coupon, coupon_pool, template
from services.campaign.models.experiments import experiment, hold_out
from services.campaign.models.journeys import journey, journey_contact, journey_entry
from services.campaign.models.ledger import channel, message, suppression
from services.campaign.models.results import (
    AMOUNT,
    attribution_rule,
    budget,
    channel_cost,
    conversion,
    sale,
)

__all__ = [
    "AMOUNT",
    "approval",
    "approval_policy",
    "attribution_rule",
    "budget",
    "campaign",
    "channel",
    "channel_cost",
    "contact_gone",
    "conversion",
    "coupon",
    "coupon_pool",
    "experiment",
    "hold_out",
    "journey",
    "journey_contact",
    "journey_entry",
    "kit",
    "message",
    "metadata",
    "sale",
    "suppression",
    "template",
]
