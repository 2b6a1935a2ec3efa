"""A campaign, and which actions its state allows."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

DRAFT, PLANNING, SENDING, PAUSED, DONE, CANCELLED = (
    "draft",
    "planning",
    "sending",
    "paused",
    "done",
    "cancelled",
)
RUNNING = (PLANNING, SENDING, PAUSED)
# A resolved or retried message of a campaign that is done may still go out.
OPEN_TO_SENDERS = (SENDING, DONE)


@dataclass(frozen=True, slots=True, kw_only=True)
class Campaign:
    """Hold a campaign. planned: its audience is complete."""

    id: str
    display_name: str
    segment: str
    template_id: str
    channel: str
    topic: str
    coupon_pool_id: str
    state: str
    planned: bool
    create_time: datetime
    launch_time: datetime | None

    @property
    def origin(self) -> str:
        """Return the name under which the ledger knows it."""
        return f"campaigns/{self.id}"


class StateError(Exception):
    """Say that a campaign's state does not allow an action."""


def after(action: str, campaign: Campaign) -> str:
    """Return the state after `launch`, `pause`, `resume` or `cancel`; the present one when it is so already.

    Raises StateError.
    """
    state = campaign.state
    match action:
        case "launch" if state == DRAFT:
            return PLANNING
        case "pause" if state in RUNNING:
            return PAUSED
        case "resume" if state == PAUSED:
            return SENDING if campaign.planned else PLANNING
        case "resume" if state in (PLANNING, SENDING):
            return state
        case "cancel" if state != DONE:
            return CANCELLED
    allowed = {
        "launch": "only a draft is launched",
        "pause": "only a campaign that is being planned or sent is paused",
        "resume": "only a paused campaign is resumed",
        "cancel": "a campaign that is done cannot be cancelled",
    }[action]
    raise StateError(f"campaigns/{campaign.id} is {state}: {allowed}")
