"""Who relies on a segment beside other segments, which segmentation looks after: campaigns and journeys."""

from __future__ import annotations

import re
from collections.abc import Iterator

from rapport.campaign.v1 import campaign_pb2
from rapport_client import Rapport
from rapport_client.errors import RapportError as ClientError

from services.cli.console import errors

_STATE = campaign_pb2.Campaign
_READING = (
    _STATE.STATE_DRAFT,
    _STATE.STATE_SCHEDULED,
    _STATE.STATE_PLANNING,
    _STATE.STATE_PAUSED,
)
"""The states in which a campaign has yet to read its segment; an evergreen one does until it ends."""


def warn(rapport: Rapport, segment: str) -> None:
    """Say on standard error which campaigns and journeys would fail without a segment, or that nobody tells."""
    try:
        for user in _users(rapport, segment):
            _say(f"{user} names {segment}, and does not work without it")
    except ClientError as error:
        _say(f"whether campaigns or journeys name {segment} is not known: {error.message} ({error.reason})")


def _users(rapport: Rapport, segment: str) -> Iterator[str]:
    for campaign in rapport.campaign.list_campaigns.iterate(segment=segment, page_size=1000):
        evergreen = campaign.evergreen and campaign.state == _STATE.STATE_SENDING
        if campaign.segment == segment and (campaign.state in _READING or evergreen):
            yield f"{campaign.name} ({_STATE.State.Name(campaign.state).removeprefix('STATE_').lower()})"
    # In its trigger, exits, goals and waits, and in the rules of its branches.
    named = re.compile(rf"{re.escape(segment)}(?![a-z0-9_-])")
    for journey in rapport.campaign.list_journeys.iterate(page_size=1000):
        if journey.state != campaign_pb2.Journey.STATE_CANCELLED and named.search(str(journey)):
            yield f"{journey.name} ({'active' if journey.active else 'not active'})"


def _say(text: str) -> None:
    errors.print(text, markup=False, highlight=False, soft_wrap=True)
