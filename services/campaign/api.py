"""CampaignService over gRPC: decode, use case, encode."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

import grpc
from google.protobuf.message import Message
from rapport.campaign.v1 import campaign_pb2 as pb
from rapport.campaign.v1 import campaign_pb2_grpc
from sqlalchemy import Connection

from services.campaign import codec
from services.campaign.channels import known_channels, release
from services.campaign.domain.ledger import Counts
from services.campaign.models import kit
from services.campaign.usecases import campaigns, coupons, journeys, messages, suppressions, templates, trial
from services.campaign.usecases.messages import SingleMessage
from services.kit import paging
from services.kit.errors import InvalidArgument
from services.kit.idempotency import remember, replay
from services.kit.names import parse_key, parse_name
from services.kit.runtime import Runtime
from services.kit.wire import enum_text, to_timestamp

T = TypeVar("T")
R = TypeVar("R", bound=Message)
_SIZES = (50, 1000)
_SUPPRESSIONS = (100, 1000)


def register(server: grpc.Server, runtime: Runtime) -> None:
    """Add the servicer of campaign to a server."""
    campaign_pb2_grpc.add_CampaignServiceServicer_to_server(CampaignServicer(runtime), server)  # type: ignore[no-untyped-call]


def background(runtime: Runtime) -> list[PluginPart]:
    """Return what runs beside the API: the plugin host."""
    return [PluginPart(runtime)]


class PluginPart:
    """Load the plugins with the process, so that a required one is missed at once, and end their host with it."""

    def __init__(self, runtime: Runtime) -> None:
        self._runtime = runtime

    def start(self) -> None:
        """Load the plugins."""
        known_channels(self._runtime)

    def stop(self) -> None:
        """End the host's processes."""
        release(self._runtime)


class CampaignServicer(campaign_pb2_grpc.CampaignServiceServicer):
    """Answer the RPCs of CampaignService; see the proto for what each promises."""

    def __init__(self, runtime: Runtime) -> None:
        """Serve from a runtime."""
        self._runtime = runtime

    def CreateTemplate(
        self, request: pb.CreateTemplateRequest, context: grpc.ServicerContext
    ) -> pb.CreateTemplateResponse:
        """Create a template."""
        contents = codec.decode_contents(request.template.contents)
        return self._once(
            request,
            pb.CreateTemplateResponse,
            lambda connection: pb.CreateTemplateResponse(
                template=codec.encode_template(
                    templates.create_template(
                        self._runtime,
                        connection,
                        request.template_id,
                        request.template.display_name,
                        contents,
                    )
                )
            ),
        )

    def GetTemplate(
        self, request: pb.GetTemplateRequest, context: grpc.ServicerContext
    ) -> pb.GetTemplateResponse:
        """Return a template."""
        found = templates.get_template(self._runtime, parse_key(request.name, "templates"))
        return pb.GetTemplateResponse(template=codec.encode_template(found))

    def ListTemplates(
        self, request: pb.ListTemplatesRequest, context: grpc.ServicerContext
    ) -> pb.ListTemplatesResponse:
        """List templates by id."""
        found, token = self._by_id(
            request,
            lambda after, count: templates.list_templates(self._runtime, after=after, count=count),
            lambda item: item.id,
        )
        return pb.ListTemplatesResponse(templates=map(codec.encode_template, found), next_page_token=token)

    def UpdateTemplate(
        self, request: pb.UpdateTemplateRequest, context: grpc.ServicerContext
    ) -> pb.UpdateTemplateResponse:
        """Change fields of a template."""
        key = parse_key(request.template.name, "templates", "template.name")
        contents = codec.decode_contents(request.template.contents)

        def update(connection: Connection) -> pb.UpdateTemplateResponse:
            changed = templates.update_template(
                self._runtime,
                connection,
                key,
                list(request.update_mask.paths),
                request.template.display_name,
                contents,
                request.etag,
            )
            return pb.UpdateTemplateResponse(template=codec.encode_template(changed))

        return self._once(request, pb.UpdateTemplateResponse, update)

    def PreviewTemplate(
        self, request: pb.PreviewTemplateRequest, context: grpc.ServicerContext
    ) -> pb.PreviewTemplateResponse:
        """Render a template and send nothing."""
        made = templates.preview_template(
            self._runtime,
            parse_key(request.name, "templates"),
            parse_name(request.contact, "contacts", "contact"),
        )
        return pb.PreviewTemplateResponse(
            subject=made.subject, text=made.text, html=made.html, language_code=made.language_code
        )

    def CreateCouponPool(
        self, request: pb.CreateCouponPoolRequest, context: grpc.ServicerContext
    ) -> pb.CreateCouponPoolResponse:
        """Create a pool of coupons."""
        given = request.coupon_pool
        return self._once(
            request,
            pb.CreateCouponPoolResponse,
            lambda connection: pb.CreateCouponPoolResponse(
                coupon_pool=codec.encode_pool(
                    coupons.create_pool(
                        self._runtime,
                        connection,
                        request.coupon_pool_id,
                        display_name=given.display_name,
                        prefix=given.prefix,
                        expire_time=codec.decode_pool_expiry(given),
                        personal=given.personal,
                    )
                )
            ),
        )

    def GetCouponPool(
        self, request: pb.GetCouponPoolRequest, context: grpc.ServicerContext
    ) -> pb.GetCouponPoolResponse:
        """Return a pool with its counts."""
        found = coupons.get_pool(self._runtime, parse_key(request.name, "couponPools"))
        return pb.GetCouponPoolResponse(coupon_pool=codec.encode_pool(found))

    def ListCouponPools(
        self, request: pb.ListCouponPoolsRequest, context: grpc.ServicerContext
    ) -> pb.ListCouponPoolsResponse:
        """List pools by id."""
        found, token = self._by_id(
            request,
            lambda after, count: coupons.list_pools(self._runtime, after=after, count=count),
            lambda item: item.id,
        )
        return pb.ListCouponPoolsResponse(coupon_pools=map(codec.encode_pool, found), next_page_token=token)

    def RedeemCoupon(
        self, request: pb.RedeemCouponRequest, context: grpc.ServicerContext
    ) -> pb.RedeemCouponResponse:
        """Redeem a coupon, once."""
        contact_id = parse_name(request.contact, "contacts", "contact") if request.contact else None
        order_id = parse_name(request.order, "orders", "order")
        redeemed = coupons.redeem_coupon(self._runtime, request.code, contact_id, order_id)
        return pb.RedeemCouponResponse(coupon=codec.encode_coupon(redeemed))

    def CreateCampaign(
        self, request: pb.CreateCampaignRequest, context: grpc.ServicerContext
    ) -> pb.CreateCampaignResponse:
        """Create a campaign."""
        given = codec.decode_campaign(request.campaign_id, request.campaign)
        return self._once(
            request,
            pb.CreateCampaignResponse,
            lambda connection: pb.CreateCampaignResponse(
                campaign=codec.encode_campaign(
                    campaigns.create_campaign(self._runtime, connection, given), Counts()
                )
            ),
        )

    def GetCampaign(
        self, request: pb.GetCampaignRequest, context: grpc.ServicerContext
    ) -> pb.GetCampaignResponse:
        """Return a campaign with its counts."""
        found = campaigns.get_campaign(self._runtime, parse_key(request.name, "campaigns"))
        return pb.GetCampaignResponse(campaign=codec.encode_campaign(*found))

    def ListCampaigns(
        self, request: pb.ListCampaignsRequest, context: grpc.ServicerContext
    ) -> pb.ListCampaignsResponse:
        """List campaigns by id."""
        found, token = self._by_id(
            request,
            lambda after, count: campaigns.list_campaigns(self._runtime, after_id=after, count=count),
            lambda item: item[0].id,
        )
        return pb.ListCampaignsResponse(
            campaigns=[codec.encode_campaign(*item) for item in found], next_page_token=token
        )

    def LaunchCampaign(
        self, request: pb.LaunchCampaignRequest, context: grpc.ServicerContext
    ) -> pb.LaunchCampaignResponse:
        """Start a launch, or say what it would do."""
        key = parse_key(request.name, "campaigns")
        if request.validate_only:
            return pb.LaunchCampaignResponse(audience_size=trial.try_launch(self._runtime, key))
        kept = pb.LaunchCampaignRequest(name=request.name)
        operation = campaigns.launch_campaign(self._runtime, key, kept, request.request_id)
        return pb.LaunchCampaignResponse(operation=operation)

    def PauseCampaign(
        self, request: pb.PauseCampaignRequest, context: grpc.ServicerContext
    ) -> pb.PauseCampaignResponse:
        """Pause a campaign."""
        return pb.PauseCampaignResponse(campaign=self._changed("pause", request.name))

    def ResumeCampaign(
        self, request: pb.ResumeCampaignRequest, context: grpc.ServicerContext
    ) -> pb.ResumeCampaignResponse:
        """Resume a campaign."""
        return pb.ResumeCampaignResponse(campaign=self._changed("resume", request.name))

    def CancelCampaign(
        self, request: pb.CancelCampaignRequest, context: grpc.ServicerContext
    ) -> pb.CancelCampaignResponse:
        """Cancel a campaign."""
        return pb.CancelCampaignResponse(campaign=self._changed("cancel", request.name))

    def CreateJourney(
        self, request: pb.CreateJourneyRequest, context: grpc.ServicerContext
    ) -> pb.CreateJourneyResponse:
        """Create a journey."""
        given = codec.decode_journey(request.journey_id, request.journey)
        return self._once(
            request,
            pb.CreateJourneyResponse,
            lambda connection: pb.CreateJourneyResponse(
                journey=codec.encode_journey(
                    journeys.create_journey(self._runtime, connection, given), Counts()
                )
            ),
        )

    def GetJourney(
        self, request: pb.GetJourneyRequest, context: grpc.ServicerContext
    ) -> pb.GetJourneyResponse:
        """Return a journey with its counts."""
        found = journeys.get_journey(self._runtime, parse_key(request.name, "journeys"))
        return pb.GetJourneyResponse(journey=codec.encode_journey(*found))

    def ListJourneys(
        self, request: pb.ListJourneysRequest, context: grpc.ServicerContext
    ) -> pb.ListJourneysResponse:
        """List journeys by id."""
        found, token = self._by_id(
            request,
            lambda after, count: journeys.list_journeys(self._runtime, after=after, count=count),
            lambda item: item[0].id,
        )
        return pb.ListJourneysResponse(
            journeys=[codec.encode_journey(*item) for item in found], next_page_token=token
        )

    def ActivateJourney(
        self, request: pb.ActivateJourneyRequest, context: grpc.ServicerContext
    ) -> pb.ActivateJourneyResponse:
        """Let events start a journey."""
        found = journeys.set_active(self._runtime, parse_key(request.name, "journeys"), active=True)
        return pb.ActivateJourneyResponse(journey=codec.encode_journey(*found))

    def DeactivateJourney(
        self, request: pb.DeactivateJourneyRequest, context: grpc.ServicerContext
    ) -> pb.DeactivateJourneyResponse:
        """Let events start a journey no more."""
        found = journeys.set_active(self._runtime, parse_key(request.name, "journeys"), active=False)
        return pb.DeactivateJourneyResponse(journey=codec.encode_journey(*found))

    def AddSuppressions(
        self, request: pb.AddSuppressionsRequest, context: grpc.ServicerContext
    ) -> pb.AddSuppressionsResponse:
        """Put addresses on the suppression list."""
        given = [(item.kind, item.address, item.reason) for item in request.suppressions]
        return pb.AddSuppressionsResponse(added_count=suppressions.add_suppressions(self._runtime, given))

    def RemoveSuppressions(
        self, request: pb.RemoveSuppressionsRequest, context: grpc.ServicerContext
    ) -> pb.RemoveSuppressionsResponse:
        """Take addresses off the suppression list."""
        given = [(item.kind, item.address) for item in request.suppressions]
        return pb.RemoveSuppressionsResponse(
            removed_count=suppressions.remove_suppressions(self._runtime, given)
        )

    def ListSuppressions(
        self, request: pb.ListSuppressionsRequest, context: grpc.ServicerContext
    ) -> pb.ListSuppressionsResponse:
        """List the suppression list by kind and address."""
        found, token = self._page(
            request,
            _SUPPRESSIONS,
            lambda place, count: suppressions.list_suppressions(
                self._runtime, after=(place["kind"], place["address"]) if place else None, count=count
            ),
            lambda item: {"kind": item.kind, "address": item.address},
        )
        return pb.ListSuppressionsResponse(
            suppressions=[
                pb.Suppression(
                    kind=item.kind,
                    address=item.address,
                    reason=item.reason,
                    create_time=to_timestamp(item.create_time),
                )
                for item in found
            ],
            next_page_token=token,
        )

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
        found, token = self._page(
            request,
            _SIZES,
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

    def _changed(self, action: str, name: str) -> pb.Campaign:
        found = campaigns.change_state(self._runtime, action, parse_key(name, "campaigns"))
        return codec.encode_campaign(*found)

    def _once(self, request: Any, response_type: type[R], make: Callable[[Connection], R]) -> R:
        """Do something once for its request id, in one transaction."""
        with self._runtime.db.transaction() as connection:
            done = replay(connection, kit.request_log, request.request_id, request, response_type)
            if done is not None:
                return done
            response = make(connection)
            remember(
                connection, kit.request_log, request.request_id, request, response, self._runtime.clock.now()
            )
            return response

    def _by_id(
        self, request: Any, read: Callable[[str, int], Sequence[T]], key: Callable[[T], str]
    ) -> tuple[Sequence[T], str]:
        return self._page(
            request,
            _SIZES,
            lambda place, count: read(place["id"] if place else "", count),
            lambda item: {"id": key(item)},
        )

    def _page(
        self,
        request: Any,
        sizes: tuple[int, int],
        read: Callable[[Mapping[str, Any] | None, int], Sequence[T]],
        place_of: Callable[[T], Mapping[str, Any]],
    ) -> tuple[Sequence[T], str]:
        """Read one page and make the token of the next."""
        signer = self._runtime.signer
        size = paging.page_size(request.page_size, *sizes)
        # One more than asked for tells whether there is a next page.
        found = read(paging.decode(request.page_token, request, signer), size + 1)
        if len(found) <= size:
            return found, ""
        return found[:size], paging.encode(place_of(found[size - 1]), request, signer)
