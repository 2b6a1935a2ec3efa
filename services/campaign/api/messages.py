"""Methods of CampaignService on single messages and the ledger."""

from __future__ import annotations

import grpc
from rapport.campaign.v1 import campaign_pb2 as pb

from services.campaign import codec
from services.campaign.api.base import SIZES, Methods
from services.campaign.usecases import messages
from services.campaign.usecases.messages import SingleMessage
from services.kit.errors import InvalidArgument
from services.kit.names import parse_name
from services.kit.wire import enum_text


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
        sent = request.resolution == pb.ResolveMessageRequest.RESOLUTION_SENT
        if not sent and request.resolution != pb.ResolveMessageRequest.RESOLUTION_RETRY:
            raise InvalidArgument.field("resolution", "must be SENT or RETRY")
        settled = messages.resolve_message(self._runtime, parse_name(request.name, "messages"), sent=sent)
        return pb.ResolveMessageResponse(message=codec.encode_message(settled, self._runtime))
