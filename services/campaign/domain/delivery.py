"""What becomes of messages after they were accepted: delivered, late, bounced, complained about."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Protocol

DELIVERED, DELAYED, SOFT_BOUNCED, BOUNCED, COMPLAINED = (
    "delivered",
    "delayed",
    "soft_bounced",
    "bounced",
    "complained",
)
KINDS = (DELIVERED, DELAYED, SOFT_BOUNCED, BOUNCED, COMPLAINED)
"""From the mildest to the gravest."""

SUPPRESS_REASON = {BOUNCED: "BOUNCE", SOFT_BOUNCED: "SOFT_BOUNCES", COMPLAINED: "COMPLAINT"}
EVENT_TYPES = {
    BOUNCED: "message.bounced",
    SOFT_BOUNCED: "message.soft_bounced",
    COMPLAINED: "message.complained",
}


class Said(Protocol):
    """Name what a mail says of one recipient, as rapport_sdk.mail_reports.RecipientReport does."""

    @property
    def status(self) -> str:
        """Return `delivered`, `delayed`, `bounced` or `complained`."""
        ...

    @property
    def permanent(self) -> bool:
        """Say whether the address itself does not work."""
        ...

    @property
    def reason(self) -> str:
        """Return what the server said."""
        ...

    @property
    def address(self) -> str:
        """Return the address it names, or ""."""
        ...


@dataclass(frozen=True, slots=True)
class Finding:
    """Hold what is reported of a message. addresses: what the report calls its recipient, unproven."""

    kind: str
    reason: str
    addresses: tuple[str, ...] = ()


def kind_of(status: str, permanent: bool) -> str:
    """Return the kind of a report with a status of the SDK."""
    if status == "bounced":
        return BOUNCED if permanent else SOFT_BOUNCED
    return status


def gravest(reports: Iterable[Said]) -> Finding | None:
    """Return what a mail says of the one recipient that a message has; None when it says nothing.

    Servers on the way add recipients of their own, as when an alias has several: the worst that befell any counts.
    """
    every = list(reports)
    if not every:
        return None
    worst = max(every, key=lambda item: KINDS.index(kind_of(item.status, item.permanent)))
    addresses = tuple(dict.fromkeys(item.address for item in every if item.address))
    return Finding(kind_of(worst.status, worst.permanent), worst.reason, addresses)
