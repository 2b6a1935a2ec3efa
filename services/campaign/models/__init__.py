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
from services.campaign.models.tracking import delivery_report, interaction, quarantine

__all__ = [
    "campaign",
    "channel",
    "circuit",
    "contact_gone",
    "coupon",
    "coupon_code",
    "coupon_pool",
    "delivery_report",
    "interaction",
    "journey",
    "journey_contact",
    "journey_entry",
    "kit",
    "link",
    "link_settings",
    "message",
    "metadata",
    "quarantine",
    "rate_bucket",
    "rate_limit",
    "recent_send",
    "send_policy",
    "suppression",
    "template",
]
