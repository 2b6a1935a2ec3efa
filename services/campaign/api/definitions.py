"""DefinitionService over gRPC: what people define, as a set."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from functools import partial
from typing import Any

import grpc
from rapport.campaign.v1 import definitions_pb2 as pb
from rapport.campaign.v1 import definitions_pb2_grpc

from services.campaign import codec
from services.campaign.api import content, limits, schedules
from services.campaign.api.base import Methods
from services.campaign.domain.definitions import (
    CAMPAIGNS,
    JOURNEYS,
    LIMITS,
    POLICIES,
    TEMPLATES,
    Item,
    Linked,
    Planned,
)
from services.campaign.domain.journeys import Journey
from services.campaign.domain.ledger import Counts
from services.campaign.domain.policies import Policy
from services.campaign.domain.rates import RateLimit
from services.campaign.domain.rendering import StoredTemplate
from services.campaign.domain.utm import LinkSettings
from services.campaign.journey_codec import decode_journey, encode_journey
from services.campaign.usecases import definitions
from services.campaign.usecases.definitions import INVALID, Deletion, Outcome, Wish
from services.kit.errors import InvalidArgument
from services.kit.names import parse_key
from services.kit.wire import enum_number

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_COLLECTIONS = {
    "template": TEMPLATES,
    "journey": JOURNEYS,
    "campaign": CAMPAIGNS,
    "send_policy": POLICIES,
    "rate_limit": LIMITS,
}


class DefinitionServicer(Methods, definitions_pb2_grpc.DefinitionServiceServicer):
    """Answer the RPCs of DefinitionService; see the proto for what each promises."""

    def CompareDefinitions(
        self, request: pb.CompareDefinitionsRequest, context: grpc.ServicerContext
    ) -> pb.CompareDefinitionsResponse:
        """Say what would change."""
        wishes = [self._wish(item, f"definitions[{index}]") for index, item in enumerate(request.definitions)]
        found = definitions.compare(self._runtime, wishes, _deletions(request.deletions))
        return pb.CompareDefinitionsResponse(changes=map(_encode_outcome, found))

    def ApplyDefinitions(
        self, request: pb.ApplyDefinitionsRequest, context: grpc.ServicerContext
    ) -> pb.ApplyDefinitionsResponse:
        """Bring a set about, all or none."""
        wishes = [
            self._wish(item.definition, f"changes[{index}].definition", item.etag, item.create_only)
            for index, item in enumerate(request.changes)
        ]
        deletions = _deletions(request.deletions)
        return self.once(
            request,
            pb.ApplyDefinitionsResponse,
            lambda connection: pb.ApplyDefinitionsResponse(
                changes=map(_encode_outcome, definitions.apply(self._runtime, connection, wishes, deletions))
            ),
        )

    def _wish(self, item: pb.Definition, path: str, etag: str = "", create_only: bool = False) -> Wish:
        kind = item.WhichOneof("kind")
        if kind is None:
            raise InvalidArgument.field(
                path, "must hold a template, journey, campaign, send policy or rate limit", reason=INVALID
            )
        for extra, of, given in (
            ("schedule", "campaign", item.HasField("schedule")),
            ("active", "journey", item.active),
            ("links", "campaign or journey", item.HasField("links")),
        ):
            if given and kind not in of.split(" or "):
                raise InvalidArgument.field(f"{path}.{extra}", f"belongs to a {of}", reason=INVALID)
        collection = _COLLECTIONS[kind]
        key = parse_key(getattr(item, kind).name, collection, f"{path}.{kind}.name")
        name = f"{collection}/{key}"
        if item.HasField("links") and item.links.origin != name:
            raise InvalidArgument.field(
                f"{path}.links.origin", f"must be {name}, the name of the definition", reason=INVALID
            )
        decode: Callable[[], Item] = partial(_decode, kind, key, item, self._runtime.settings.time_zone)
        return Wish(collection=collection, key=key, decode=decode, etag=etag, create_only=create_only)


def _deletions(items: Iterable[pb.UnwantedDefinition]) -> list[Deletion]:
    return [(*_deleted(item.name, f"deletions[{index}].name"), item.etag) for index, item in enumerate(items)]


def _deleted(name: str, path: str) -> tuple[str, str]:
    for collection in (POLICIES, LIMITS):
        if name.startswith(f"{collection}/"):
            return collection, parse_key(name, collection, path)
    raise InvalidArgument.field(
        path,
        f"{name!r} is neither of sendPolicies nor of rateLimits, which alone are deleted",
        reason=INVALID,
    )


def _decode(kind: str, key: str, item: pb.Definition, time_zone: str) -> Item:
    links = (
        content.decode_links(item.links, f"{_COLLECTIONS[kind]}/{key}") if item.HasField("links") else None
    )
    match kind:
        case "template":
            return StoredTemplate(
                id=key,
                display_name=item.template.display_name,
                contents=tuple(codec.decode_contents(item.template.contents)),
                revision=0,
                create_time=_EPOCH,
                update_time=_EPOCH,
            )
        case "journey":
            return Linked(decode_journey(key, item.journey, active=item.active), links)
        case "send_policy":
            return limits.decode_policy(item.send_policy)
        case "rate_limit":
            return limits.decode_limit(item.rate_limit)
    schedule = schedules.decode_schedule(item.schedule, time_zone) if item.HasField("schedule") else None
    return Linked(Planned(codec.decode_campaign(key, item.campaign), schedule), links)


def _encode(item: Item) -> pb.Definition:
    match item:
        case StoredTemplate():
            return pb.Definition(template=codec.encode_template(item))
        case Policy():
            return pb.Definition(send_policy=limits.encode_policy(item))
        case RateLimit():
            return pb.Definition(rate_limit=limits.encode_limit(item))
        case Linked(inner, links):
            plain = links is None or links == LinkSettings(origin=links.origin)
            told = None if plain or links is None else content.encode_links(links)
            if isinstance(inner, Journey):
                return pb.Definition(journey=encode_journey(inner, Counts()), active=inner.active, links=told)
            schedule = inner.schedule
            return pb.Definition(
                campaign=codec.encode_campaign(inner.campaign, Counts()),
                schedule=None if schedule is None else schedules.encode_schedule(schedule),
                links=told,
            )


def _encode_outcome(outcome: Outcome) -> pb.DefinitionChange:
    parts: dict[str, Any] = {}
    if outcome.item is not None:
        parts["definition"] = _encode(outcome.item)
    if outcome.previous is not None:
        parts["previous"] = _encode(outcome.previous)
    return pb.DefinitionChange(
        name=outcome.name,
        action=enum_number(pb.DefinitionChange.Action, outcome.action),
        etag=outcome.etag,
        problems=[
            pb.DefinitionProblem(field=item.field, description=item.text, reason=item.error.reason)
            for item in outcome.troubles
        ],
        **parts,
    )
