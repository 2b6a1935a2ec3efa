"""What people define as a set: templates, send policies, rate limits, journeys, campaigns; when two are the same."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from hashlib import sha256
from typing import Any

from services.campaign.domain.campaigns import CONTENTS, Campaign
from services.campaign.domain.journeys import Journey, definition_to_json
from services.campaign.domain.policies import Policy
from services.campaign.domain.rates import RateLimit
from services.campaign.domain.rendering import StoredTemplate
from services.campaign.domain.schedules import Schedule
from services.campaign.domain.utm import LinkSettings

TEMPLATES, POLICIES, LIMITS = "templates", "sendPolicies", "rateLimits"
JOURNEYS, CAMPAIGNS = "journeys", "campaigns"
ORDER = (TEMPLATES, POLICIES, LIMITS, JOURNEYS, CAMPAIGNS)
"""What is named by others comes before them."""
_FROM_STORE = {"id", "revision", "create_time", "update_time"}


@dataclass(frozen=True, slots=True)
class Planned:
    """Hold a campaign with its schedule, None for a draft."""

    campaign: Campaign
    schedule: Schedule | None = None

    @property
    def id(self) -> str:
        """Return the id of the campaign."""
        return self.campaign.id


@dataclass(frozen=True, slots=True)
class Linked:
    """Hold a journey or campaign with how its links are counted, None for as they are counted now."""

    item: Journey | Planned
    links: LinkSettings | None = None

    @property
    def id(self) -> str:
        """Return the id of the journey or campaign."""
        return self.item.id


Item = StoredTemplate | Policy | RateLimit | Linked


def contents(item: Item | Journey | Planned) -> dict[str, Any]:
    """Return what people said of something, without what the store adds."""
    match item:
        case Linked(inner, links):
            said = asdict(links) if links is not None else {}
            # Names a campaign or journey, which the definition does.
            said.pop("origin", None)
            return {**contents(inner), "links": said}
        case Journey():
            return {
                **definition_to_json(item),
                "display_name": item.display_name,
                "active": item.active,
            }
        case Planned(campaign, schedule):
            return {
                **{name: getattr(campaign, name) for name in CONTENTS},
                "schedule": schedule and asdict(schedule),
            }
    return {name: value for name, value in asdict(item).items() if name not in _FROM_STORE}


def fingerprint(item: Item) -> str:
    """Return what differs when what people said differs."""
    text = json.dumps(contents(item), sort_keys=True, default=_simple)
    return sha256(text.encode()).hexdigest()[:32]


def _simple(value: Any) -> Any:
    return sorted(value) if isinstance(value, frozenset) else str(value)
