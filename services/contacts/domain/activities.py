"""Activities: what contacts did."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from services.contacts.domain.attributes import Value
from services.contacts.domain.errors import Refused

FUTURE_ALLOWED = timedelta(days=1)


@dataclass(frozen=True, slots=True)
class Activity:
    """Hold a record of something that a contact did.

    source, external_id: where it comes from and its id there, which makes recording idempotent; historical:
    a record of the past that starts no journey.
    """

    id: UUID
    contact_id: UUID
    type: str
    occur_time: datetime
    fields: Mapping[str, Value]
    source: str = ""
    external_id: str = ""
    historical: bool = False


def check_time(occur_time: datetime, now: datetime) -> None:
    """Raise Refused for an activity of the future, but for a day's difference of clocks."""
    if occur_time > now + FUTURE_ALLOWED:
        raise Refused("lies more than one day in the future")
