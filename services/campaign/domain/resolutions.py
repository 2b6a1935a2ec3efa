"""Decisions on messages of which nobody knew whether they were sent."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from services.campaign.domain.ledger import FAILED, PLANNED, SENT

AS_SENT, AS_FAILED, AS_RETRY = "sent", "failed", "retry"
STATE_AFTER = {AS_SENT: SENT, AS_FAILED: FAILED, AS_RETRY: PLANNED}
RESOLVED = "RESOLVED"
"""Reason of a message of which somebody said that it failed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Doubted:
    """Say which messages: of a campaign, a journey or "requests"; channel: empty for all; before: planned, or None."""

    origin: str
    channel: str = ""
    before: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Resolution:
    """Hold who decided what became of which messages, and when.

    message_id: of the only one, else None; channel, planned_before: as in Doubted.
    """

    id: UUID
    origin: str
    message_id: UUID | None = None
    channel: str = ""
    planned_before: datetime | None = None
    resolution: str
    comment: str
    resolver: str
    resolve_time: datetime
    message_count: int
