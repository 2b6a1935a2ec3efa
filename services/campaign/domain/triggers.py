"""What starts a journey: events of a contact, memberships, or a date that comes round."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime, time
from typing import Any
from uuid import NAMESPACE_URL, UUID, uuid5

from services.campaign.domain.ids import RuleError
from services.campaign.domain.localtime import check_zone

_EVENT = re.compile(r"[a-z][a-z0-9_]*(\.[a-z][a-z0-9_]*)+")
MEMBERSHIP = ("segment.entered", "segment.left")
DATE_REACHED = "date.reached"
BIRTH_DATE = "birth_date"
FARTHEST_DAYS = 366


@dataclass(frozen=True, slots=True)
class DateRule:
    """Say when a date of the contact counts: so many days after it (before: negative), when its clocks show a time.

    attribute: "birth_date" or a custom attribute of type timestamp; yearly: each year, or that one day only; zone: of
    contacts of whom none is known, "" for the business's.
    """

    attribute: str
    offset_days: int
    time: time
    yearly: bool
    zone: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Trigger:
    """Hold what happened to a contact; types: the names by which a journey may wait for it.

    event: what templates and conditions see of it; empty while nobody is known to wait for it.
    """

    event_id: UUID
    contact_id: UUID
    types: tuple[str, ...]
    segment: str
    record_time: datetime
    event: Mapping[str, Any]


def check_event(event_type: str, segment: str) -> None:
    """Raise RuleError when a type of event, or the segment beside it, makes no sense."""
    if not _EVENT.fullmatch(event_type):
        raise RuleError(
            f"{event_type!r} is no type of event: expected a name such as 'order.placed'", "event_type"
        )
    if event_type in MEMBERSHIP and not segment:
        raise RuleError(f"is needed for {event_type}", "segment")
    if event_type not in MEMBERSHIP and segment:
        raise RuleError(f"has no meaning for {event_type}: leave it empty", "segment")


def check_date(rule: DateRule) -> None:
    """Raise RuleError when a rule on dates makes no sense."""
    if not rule.attribute:
        raise RuleError("must not be empty", "attribute")
    if abs(rule.offset_days) > FARTHEST_DAYS:
        raise RuleError(f"must be at most {FARTHEST_DAYS} days before or after", "offset_days")
    if rule.zone:
        try:
            check_zone(rule.zone)
        except RuleError as error:
            raise RuleError(str(error), "time_zone") from None


def date_event_id(journey_id: str, contact_id: UUID, day: date) -> UUID:
    """Return the id under which a date starts a journey for a contact: the same whoever asks, so it does so once."""
    return uuid5(NAMESPACE_URL, f"rapport:{journey_id}:{contact_id}:{day.isoformat()}")
