"""What is approved: campaigns and journeys, taken apart so that each change of theirs is seen and named."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from typing import Any

import grpc
from rapport.segmentation.v1 import segmentation_pb2
from rapport_client.errors import RapportError as ClientError
from sqlalchemy import Connection

from services.campaign.domain.approvals import Amount, Policy, policy_for, reasons
from services.campaign.domain.campaigns import HOLD, Campaign
from services.campaign.domain.ids import TRANSACTIONAL
from services.campaign.domain.journeys import Journey, definition_to_json
from services.campaign.domain.money import plain
from services.campaign.domain.steps import Send, Webhook, numbered
from services.campaign.domain.utm import LinkSettings
from services.campaign.store import experiments, links, money, templates
from services.kit.errors import NotFound, Unavailable
from services.kit.names import format_name
from services.kit.runtime import Runtime


@dataclass(frozen=True)
class Matter:
    """Hold what approval is about. kind: "campaigns" or "journeys"; topics: on which it sends; author: "" if not known.

    look: returns its subject, and how many people it reaches, None when nobody can say. It is asked only when needed,
    as segmentation has to answer.
    """

    origin: str
    topics: Sequence[str]
    budget: Amount | None
    look: Callable[[], tuple[Mapping[str, str], int | None]]
    author: str = ""

    @cached_property
    def _seen(self) -> tuple[Mapping[str, str], int | None]:
        return self.look()

    @property
    def subject(self) -> Mapping[str, str]:
        """Return what is approved, by part; raises NotFound, Unavailable."""
        return self._seen[0]

    @property
    def is_journey(self) -> bool:
        """Tell a journey from a campaign."""
        return self.origin.startswith("journeys/")

    def policies(self, known: Sequence[Policy]) -> list[Policy]:
        """Return the policies that hold for it."""
        found = {policy.topic: policy for topic in self.topics if (policy := policy_for(known, topic))}
        return [found[topic] for topic in sorted(found)]

    def reasons(self, policies: Sequence[Policy]) -> list[str]:
        """Return in words why it needs approval; raises NotFound, Unavailable."""
        what = "journeys" if self.is_journey else "campaigns"
        told = [why for item in policies for why in reasons(item, self._seen[1], self.budget, what)]
        return list(dict.fromkeys(told))


def of_campaign(runtime: Runtime, connection: Connection, campaign: Campaign, recurrence: str) -> Matter:
    """Return what is approved of a campaign. Segmentation is asked while its row may be locked: it changes rarely.

    recurrence: RRULE by which it is launched again and again, "" for once.
    """
    budget = money.budget(connection, campaign.origin)

    def look() -> tuple[Mapping[str, str], int | None]:
        segment = _segment(runtime, campaign.segment)
        tried = experiments.get(connection, campaign.id)
        used = {campaign.template_id} | ({item.template_id for item in tried.variants} if tried else set())
        return {
            "segment": campaign.segment,
            "segment_version": str(segment.version),
            "audience": str(segment.member_count),
            "template": format_name("templates", campaign.template_id),
            **_templates(connection, used),
            "channel": campaign.channel,
            "topic": campaign.topic,
            "coupon_pool": campaign.coupon_pool_id,
            "budget": _amount(budget),
            "evergreen": "yes" if campaign.evergreen else "",
            # Holding is nothing to tell, so that what was approved before this was asked is still the same.
            "unknown_policy": "" if campaign.unknown_policy == HOLD else campaign.unknown_policy,
            "experiment": json.dumps(tried.plan(), sort_keys=True) if tried else "",
            "links": _links(connection, campaign.origin),
            **({"recurrence": recurrence.removeprefix("RRULE:")} if recurrence else {}),
            # Who comes later gets an evergreen one too.
        }, None if campaign.evergreen else int(segment.member_count)

    return Matter(campaign.origin, (campaign.topic,), budget, look)


def of_journey(runtime: Runtime, connection: Connection, journey: Journey, author: str) -> Matter:
    """Return what is approved of a journey as it is given; its steps must be sound."""
    nodes = numbered(journey.steps)
    sends = [node.action for node in nodes if isinstance(node.action, Send)]
    topics = {send.topic for send in sends}
    topics |= {TRANSACTIONAL for node in nodes if isinstance(node.action, Webhook)}
    budget = money.budget(connection, journey.origin)

    def look() -> tuple[Mapping[str, str], None]:
        whole = definition_to_json(journey)
        version = str(_segment(runtime, journey.segment).version) if journey.segment else ""
        return {
            "trigger": _text(whole["trigger"]),
            "segment_version": version,
            **{f"step:{step['id']}": _text(step) for step in whole["steps"]},
            "exits": _text(whole["exits"]),
            "goals": _text(whole["goals"]),
            "hold_out": f"{journey.hold_out_percent:g} %" if journey.hold_out_percent else "",
            **_templates(connection, {send.template_id for send in sends}),
            "budget": _amount(budget),
            "links": _links(connection, journey.origin),
        }, None

    return Matter(journey.origin, sorted(topics), budget, look, author)


def _segment(runtime: Runtime, name: str) -> segmentation_pb2.Segment:
    try:
        found: segmentation_pb2.Segment = runtime.clients.segmentation.get_segment(name=name).segment
    except ClientError as error:
        if error.code is grpc.StatusCode.NOT_FOUND:
            raise NotFound.resource(name) from error
        raise Unavailable(f"{name} cannot be asked for: {error.message}; try again later") from error
    return found


def _templates(connection: Connection, keys: set[str]) -> dict[str, str]:
    # Shared, so that nobody changes one between the look at it and the launch.
    found = templates.get_many(connection, keys - {""}, share=True)
    return {f"template:{key}": str(item.revision) for key, item in found.items()}


def _links(connection: Connection, origin: str) -> str:
    given = links.settings(connection, [origin])[origin]
    return "" if given == LinkSettings(origin=origin) else _text(asdict(given))


def _amount(budget: Amount | None) -> str:
    return f"{plain(budget[0])} {budget[1]}" if budget else ""


def _text(value: Any) -> str:
    return json.dumps(value, sort_keys=True, ensure_ascii=False)
