"""A campaign, and which actions its state allows."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

DRAFT, SCHEDULED, PLANNING, SENDING, PAUSED, DONE, CANCELLED = (
    "draft",
    "scheduled",
    "planning",
    "sending",
    "paused",
    "done",
    "cancelled",
)
RUNNING = (PLANNING, SENDING, PAUSED)
# A resolved or retried message of a campaign that is done may still go out.
OPEN_TO_SENDERS = (SENDING, DONE)
CONTENTS = (
    "display_name",
    "segment",
    "template_id",
    "channel",
    "topic",
    "coupon_pool_id",
    "evergreen",
    "unknown_policy",
)
"""What people say of a campaign."""
HOLD, RETRY = "hold", "retry"
"""What becomes of a message of which nobody knows whether it was sent."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Campaign:
    """Hold a campaign.

    planned: its audience is complete; evergreen: members to come get it too; series: the id of the campaign that it is
    a run of; recipient_local: what the recipients' clocks show when it is due, None for at once; unknown_policy: HOLD,
    or RETRY by channels that are idempotent.
    """

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
    evergreen: bool = False
    series: str = ""
    recipient_local: datetime | None = None
    unknown_policy: str = HOLD

    @property
    def origin(self) -> str:
        """Return the name under which the ledger knows it."""
        return f"campaigns/{self.id}"


class StateError(Exception):
    """Say that a campaign's state does not allow an action."""


def after(action: str, campaign: Campaign) -> str:
    """Return the state after an action.

    Actions: `launch`, `schedule`, `unschedule`, `start` (a schedule's), `change`, `pause`, `resume`, `cancel`.

    It is the present one when it is so already. Raises StateError.
    """
    state = campaign.state
    match action:
        case "launch" if state == DRAFT:
            return PLANNING
        case "start" if state == SCHEDULED:
            return PLANNING
        case "schedule" if state in (DRAFT, SCHEDULED):
            return SCHEDULED
        case "unschedule" if state in (DRAFT, SCHEDULED):
            return DRAFT
        case "change" if state in (DRAFT, SCHEDULED):
            return state
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
        "start": "only a scheduled campaign is started by its schedule",
        "schedule": "only a draft is scheduled",
        "unschedule": "only a scheduled campaign is taken back",
        "change": "only what was not launched is changed; make a campaign of another id",
        "pause": "only a campaign that is being planned or sent is paused",
        "resume": "only a paused campaign is resumed",
        "cancel": "a campaign that is done cannot be cancelled",
    }[action]
    raise StateError(f"campaigns/{campaign.id} is {state}: {allowed}")
