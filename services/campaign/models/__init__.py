"""The tables of campaign, one module for each subject; importing this knows them all."""

from services.campaign.models.base import contact_gone, kit, metadata
from services.campaign.models.campaigns import campaign
from services.campaign.models.content import coupon, coupon_pool, template
from services.campaign.models.journeys import (
    contact_date,
    date_attribute,
    journey,
    journey_action,
    journey_contact,
    journey_entry,
    journey_listen,
    journey_move,
    journey_signal,
    journey_version,
)
from services.campaign.models.ledger import channel, message, suppression
from services.campaign.models.schedules import campaign_occurrence, campaign_schedule

__all__ = [
    "campaign",
    "campaign_occurrence",
    "campaign_schedule",
    "channel",
    "contact_date",
    "contact_gone",
    "coupon",
    "coupon_pool",
    "date_attribute",
    "journey",
    "journey_action",
    "journey_contact",
    "journey_entry",
    "journey_listen",
    "journey_move",
    "journey_signal",
    "journey_version",
    "kit",
    "message",
    "metadata",
    "suppression",
    "template",
]
