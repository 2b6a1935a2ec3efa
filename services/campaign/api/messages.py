"""Methods of CampaignService on single messages and the ledger."""

from __future__ import annotations

import grpc
from rapport.campaign.v1 import campaign_pb2 as pb
from sqlalchemy import Connection

from services.campaign import codec
from services.campaign.api.base import SIZES, Methods
from services.campaign.domain.resolutions import Doubted, Resolution
from services.campaign.usecases import messages, resolving
from services.campaign.usecases.messages import SingleMessage
from services.kit.errors import InvalidArgument
from services.kit.names import format_name, parse_name
from services.kit.wire import enum_number, enum_text, get_timestamp, set_timestamp, to_timestamp


class MessageMethods(Methods):
    """Answer the RPCs on single messages and the ledger."""

    def SendMessage(
        self, request: pb.SendMessageRequest, context: grpc.ServicerContext
    ) -> pb.SendMessageResponse:
        """Plan a single message."""
        given = SingleMessage(
            contact_id=parse_name(request.contact, "contacts", "contact") if request.contact else None,
            channel=request.channel,
            topic=request.topic,
            subject=request.subject,
            text=request.text,
            reply_to=request.reply_to,
            in_reply_to=request.in_reply_to,
            address=request.address,
            automatic=request.automatic,
        )
        planned = messages.send_message(self._runtime, given, request.request_id)
        return pb.SendMessageResponse(message=codec.encode_message(planned, self._runtime))

    def GetMessage(
        self, request: pb.GetMessageRequest, context: grpc.ServicerContext
    ) -> pb.GetMessageResponse:
        """Return a message of the ledger."""
        found = messages.get_message(self._runtime, parse_name(request.name, "messages"))
        return pb.GetMessageResponse(message=codec.encode_message(found, self._runtime))

    def ListMessages(
        self, request: pb.ListMessagesRequest, context: grpc.ServicerContext
    ) -> pb.ListMessagesResponse:
        """List messages, newest first."""
        contact_id = parse_name(request.contact, "contacts", "contact") if request.contact else None
        state = enum_text(pb.Message.State, request.state)
        planned_before = get_timestamp(request, "planned_before")
        found, token = self.page(
            request,
            SIZES,
            lambda place, count: messages.list_messages(
                self._runtime,
                contact_id=contact_id,
                origin=request.origin,
                state=state,
                before=place["id"] if place else None,
                count=count,
                channel=request.channel,
                planned_before=planned_before,
            ),
            lambda item: {"id": item.id},
        )
        return pb.ListMessagesResponse(
            messages=[codec.encode_message(item, self._runtime) for item in found], next_page_token=token
        )

    def ResolveMessage(
        self, request: pb.ResolveMessageRequest, context: grpc.ServicerContext
    ) -> pb.ResolveMessageResponse:
        """Decide what became of a message."""
        settled = resolving.resolve_message(
            self._runtime, parse_name(request.name, "messages"), _resolution(request), request.comment
        )
        return pb.ResolveMessageResponse(message=codec.encode_message(settled, self._runtime))

    def ResolveMessages(
        self, request: pb.ResolveMessagesRequest, context: grpc.ServicerContext
    ) -> pb.ResolveMessagesResponse:
        """Decide what became of many messages."""
        resolution = _resolution(request)
        doubted = Doubted(
            origin=request.origin,
            channel=request.channel,
            before=get_timestamp(request, "planned_before"),
        )
        if request.validate_only:
            left = resolving.count_doubted(self._runtime, doubted, resolution)
            return pb.ResolveMessagesResponse(remaining_count=left)

        def resolve(connection: Connection) -> pb.ResolveMessagesResponse:
            done, left = resolving.resolve_messages(
                self._runtime, connection, doubted, resolution, request.comment
            )
            return pb.ResolveMessagesResponse(resolved_count=done, remaining_count=left)

        return self.once(request, pb.ResolveMessagesResponse, resolve)

    def ListMessageResolutions(
        self, request: pb.ListMessageResolutionsRequest, context: grpc.ServicerContext
    ) -> pb.ListMessageResolutionsResponse:
        """List decisions on messages, newest first."""
        found, token = self.page(
            request,
            SIZES,
            lambda place, count: resolving.list_resolutions(
                self._runtime, origin=request.origin, before=place["id"] if place else None, count=count
            ),
            lambda item: {"id": item.id},
        )
        return pb.ListMessageResolutionsResponse(
            resolutions=[_encode_resolution(item) for item in found], next_page_token=token
        )


def _resolution(request: pb.ResolveMessageRequest | pb.ResolveMessagesRequest) -> str:
    """Return what was decided; raises InvalidArgument."""
    resolution = enum_text(pb.ResolveMessageRequest.Resolution, request.resolution)
    if not resolution:
        raise InvalidArgument.field("resolution", "must be SENT, FAILED or RETRY")
    return resolution


def _encode_resolution(item: Resolution) -> pb.MessageResolution:
    message = pb.MessageResolution(
        name=format_name("messageResolutions", item.id),
        origin=item.origin,
        message=format_name("messages", item.message_id) if item.message_id else "",
        channel=item.channel,
        resolution=enum_number(pb.ResolveMessageRequest.Resolution, item.resolution),
        comment=item.comment,
        resolver=item.resolver,
        resolve_time=to_timestamp(item.resolve_time),
        message_count=item.message_count,
    )
    set_timestamp(message.planned_before, item.planned_before)
    return message
