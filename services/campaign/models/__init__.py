"""The tables of campaign, one module for each subject; importing this knows them all."""

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
from services.campaign.models.journeys import journey, journey_contact, journey_entry
from services.campaign.models.ledger import channel, message, suppression
from services.campaign.models.limits import circuit, rate_bucket, rate_limit, recent_send, send_policy

__all__ = [
    "campaign",
    "channel",
    "circuit",
    "contact_gone",
    "coupon",
    "coupon_code",
    "coupon_pool",
    "journey",
    "journey_contact",
    "journey_entry",
    "kit",
    "link",
    "link_settings",
    "message",
    "metadata",
    "rate_bucket",
    "rate_limit",
    "recent_send",
    "send_policy",
    "suppression",
    "template",
]
