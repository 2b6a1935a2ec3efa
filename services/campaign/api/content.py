"""The servicer of ContentService: previews, tests, how links are counted, uploaded coupons."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

import grpc
from google.protobuf.json_format import MessageToDict
from rapport.campaign.v1 import content_pb2 as pb
from rapport.campaign.v1 import content_pb2_grpc

from services.campaign import codec
from services.campaign.api.base import Methods
from services.campaign.domain.utm import LinkSettings
from services.campaign.usecases import coupons, link_settings, proofs
from services.campaign.usecases.proofs import Sample
from services.kit.errors import InvalidArgument
from services.kit.names import parse_key, parse_name


class ContentServicer(Methods, content_pb2_grpc.ContentServiceServicer):
    """Answer the RPCs of ContentService; see the proto for what each promises."""

    def PreviewContent(
        self, request: pb.PreviewContentRequest, context: grpc.ServicerContext
    ) -> pb.PreviewContentResponse:
        """Render a template and send nothing."""
        made, links = proofs.preview(self._runtime, _sample(request))
        return pb.PreviewContentResponse(
            subject=made.subject,
            text=made.text,
            html=made.html,
            language_code=made.language_code,
            links=links,
        )

    def SendTestMessage(
        self, request: pb.SendTestMessageRequest, context: grpc.ServicerContext
    ) -> pb.SendTestMessageResponse:
        """Send a template to addresses of one's own."""
        planned = proofs.send_test(
            self._runtime,
            _sample(request.content, "content."),
            request.channel,
            list(request.addresses),
            request.request_id,
        )
        return pb.SendTestMessageResponse(
            messages=[codec.encode_message(item, self._runtime) for item in planned]
        )

    def GetLinkSettings(
        self, request: pb.GetLinkSettingsRequest, context: grpc.ServicerContext
    ) -> pb.GetLinkSettingsResponse:
        """Return how links are counted."""
        found = link_settings.get_settings(self._runtime, request.origin)
        return pb.GetLinkSettingsResponse(settings=encode_links(found))

    def SetLinkSettings(
        self, request: pb.SetLinkSettingsRequest, context: grpc.ServicerContext
    ) -> pb.SetLinkSettingsResponse:
        """Say how links are counted."""
        given = decode_links(request.settings, request.settings.origin)
        stored = link_settings.set_settings(self._runtime, given)
        return pb.SetLinkSettingsResponse(settings=encode_links(stored))

    def ImportCoupons(
        self, request: pb.ImportCouponsRequest, context: grpc.ServicerContext
    ) -> pb.ImportCouponsResponse:
        """Put codes into a pool."""
        key = parse_key(request.pool, "couponPools", "pool")
        codes = list(request.codes)
        return self.once(
            request,
            pb.ImportCouponsResponse,
            lambda connection: pb.ImportCouponsResponse(
                added_count=len(codes), free_count=coupons.import_codes(connection, key, codes)
            ),
        )

    def GetCouponStock(
        self, request: pb.GetCouponStockRequest, context: grpc.ServicerContext
    ) -> pb.GetCouponStockResponse:
        """Return how many codes are left."""
        pool, free = coupons.stock(self._runtime, parse_key(request.pool, "couponPools", "pool"))
        return pb.GetCouponStockResponse(imported=pool.imported, free_count=free)


def _sample(request: pb.PreviewContentRequest, path: str = "") -> Sample:
    return Sample(
        template_id=parse_key(request.template, "templates", f"{path}template"),
        contact_id=parse_name(request.contact, "contacts", f"{path}contact"),
        language_code=request.language_code if request.HasField("language_code") else None,
        topic=request.topic or "marketing",
        event=_event(request, path) if request.HasField("event") else None,
    )


def _event(request: pb.PreviewContentRequest, path: str) -> Mapping[str, Any]:
    event = MessageToDict(request.event)
    time = event.get("time", "1970-01-01T00:00:00+00:00")
    try:
        if datetime.fromisoformat(str(time)).tzinfo is None:
            raise ValueError
    except ValueError:
        raise InvalidArgument.field(
            f"{path}event.time", "must be a time with its zone in ISO 8601, such as 2026-03-01T12:00:00+07:00"
        ) from None
    return {**event, "time": str(time)}


def decode_links(message: pb.LinkSettings, origin: str) -> LinkSettings:
    """Decode how the links of an origin are counted."""
    return LinkSettings(
        origin=origin,
        utm_source=message.utm_source,
        utm_medium=message.utm_medium,
        utm_campaign=message.utm_campaign,
        utm_content=message.utm_content,
        track_clicks=message.track_clicks if message.HasField("track_clicks") else None,
        track_opens=message.track_opens if message.HasField("track_opens") else None,
    )


def encode_links(item: LinkSettings) -> pb.LinkSettings:
    """Encode how the links of an origin are counted."""
    message = pb.LinkSettings(
        origin=item.origin,
        utm_source=item.utm_source,
        utm_medium=item.utm_medium,
        utm_campaign=item.utm_campaign,
        utm_content=item.utm_content,
    )
    if item.track_clicks is not None:
        message.track_clicks = item.track_clicks
    if item.track_opens is not None:
        message.track_opens = item.track_opens
    return message
