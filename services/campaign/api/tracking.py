"""Methods of TrackingService: what came back of messages."""

from __future__ import annotations

import grpc
from rapport.campaign.v1 import tracking_pb2 as pb
from rapport.campaign.v1 import tracking_pb2_grpc

from services.campaign.api.base import SIZES, Methods
from services.campaign.domain.delivery import BOUNCED, COMPLAINED, DELIVERED, SOFT_BOUNCED
from services.campaign.store.interactions import Interaction, Selection
from services.campaign.store.reports import Quarantined, Report
from services.campaign.usecases import interactions, reports
from services.kit.names import format_name, parse_name
from services.kit.wire import enum_text, from_timestamp, to_timestamp

_QUARANTINE_PAGE = (20, 100)


class TrackingServicer(Methods, tracking_pb2_grpc.TrackingServiceServicer):
    """Answer the RPCs of TrackingService; see the proto for what each promises."""

    def ListInteractions(
        self, request: pb.ListInteractionsRequest, context: grpc.ServicerContext
    ) -> pb.ListInteractionsResponse:
        """List interactions, newest first."""
        selection = Selection(
            message_id=parse_name(request.message, "messages", "message") if request.message else None,
            contact_id=parse_name(request.contact, "contacts", "contact") if request.contact else None,
            origin=request.origin,
            kind=enum_text(pb.Interaction.Kind, request.kind),
            verdict=enum_text(pb.Interaction.Verdict, request.verdict),
        )
        found, token = self.page(
            request,
            SIZES,
            lambda place, count: interactions.list_interactions(
                self._runtime, selection, before=place["id"] if place else None, count=count
            ),
            lambda item: {"id": item.id},
        )
        return pb.ListInteractionsResponse(
            interactions=[_interaction(item) for item in found], next_page_token=token
        )

    def ReclassifyInteractions(
        self, request: pb.ReclassifyInteractionsRequest, context: grpc.ServicerContext
    ) -> pb.ReclassifyInteractionsResponse:
        """Decide anew who made interactions."""
        selection = Selection(
            message_id=parse_name(request.message, "messages", "message") if request.message else None,
            origin=request.origin,
            rule=request.rule,
            start_time=from_timestamp(request.start_time, "start_time")
            if request.HasField("start_time")
            else None,
            end_time=from_timestamp(request.end_time, "end_time") if request.HasField("end_time") else None,
        )
        verdict = enum_text(pb.Interaction.Verdict, request.verdict)
        changed, reversed_, told, more = interactions.reclassify(
            self._runtime, selection, verdict, request.reason
        )
        return pb.ReclassifyInteractionsResponse(
            changed_count=changed, reversed_count=reversed_, told_count=told, has_more=more
        )

    def GetEngagement(
        self, request: pb.GetEngagementRequest, context: grpc.ServicerContext
    ) -> pb.GetEngagementResponse:
        """Count what became of the messages of an origin."""
        found = reports.get_engagement(self._runtime, request.origin)
        return pb.GetEngagementResponse(
            origin=request.origin,
            sent_count=found.sent,
            delivered_count=found.reports.get(DELIVERED, 0),
            bounced_count=found.reports.get(BOUNCED, 0),
            soft_bounced_count=found.reports.get(SOFT_BOUNCED, 0),
            complained_count=found.reports.get(COMPLAINED, 0),
            open_count=found.opens,
            unique_open_count=found.unique_opens,
            click_count=found.clicks,
            unique_click_count=found.unique_clicks,
            unsubscribed_count=found.unsubscribed,
            scanner_count=found.scanner,
            pending_count=found.pending,
            links=[
                pb.LinkClicks(link=link, click_count=clicks, unique_click_count=unique)
                for link, (clicks, unique) in found.links.items()
            ],
        )

    def ReportDelivery(
        self, request: pb.ReportDeliveryRequest, context: grpc.ServicerContext
    ) -> pb.ReportDeliveryResponse:
        """Take in a mail that may be a report."""
        outcome, key = reports.report_mail(self._runtime, request.raw, request.recipient)
        return pb.ReportDeliveryResponse(
            outcome=f"OUTCOME_{outcome.upper()}",
            message=format_name("messages", key) if key else "",
        )

    def ListDeliveryReports(
        self, request: pb.ListDeliveryReportsRequest, context: grpc.ServicerContext
    ) -> pb.ListDeliveryReportsResponse:
        """List what was reported of messages, newest first."""
        message_id = parse_name(request.message, "messages", "message") if request.message else None
        kind = enum_text(pb.DeliveryReport.Kind, request.kind)
        found, token = self.page(
            request,
            SIZES,
            lambda place, count: reports.list_reports(
                self._runtime,
                message_id=message_id,
                origin=request.origin,
                kind=kind,
                before=place["id"] if place else None,
                count=count,
            ),
            lambda item: {"id": item.id},
        )
        return pb.ListDeliveryReportsResponse(
            delivery_reports=[_report(item) for item in found], next_page_token=token
        )

    def ListQuarantine(
        self, request: pb.ListQuarantineRequest, context: grpc.ServicerContext
    ) -> pb.ListQuarantineResponse:
        """List reports that could not be read, newest first."""
        found, token = self.page(
            request,
            _QUARANTINE_PAGE,
            lambda place, count: reports.list_quarantine(
                self._runtime, before=place["id"] if place else None, count=count
            ),
            lambda item: {"id": item.id},
        )
        return pb.ListQuarantineResponse(
            reports=[_quarantined(item) for item in found], next_page_token=token
        )

    def DropQuarantined(
        self, request: pb.DropQuarantinedRequest, context: grpc.ServicerContext
    ) -> pb.DropQuarantinedResponse:
        """Delete reports from quarantine."""
        keys = [parse_name(name, "quarantine", "names") for name in request.names]
        return pb.DropQuarantinedResponse(dropped_count=reports.drop_quarantined(self._runtime, keys))


def _interaction(item: Interaction) -> pb.Interaction:
    return pb.Interaction(
        name=format_name("interactions", item.id),
        message=format_name("messages", item.message_id),
        origin=item.origin,
        contact=format_name("contacts", item.contact_id) if item.contact_id else "",
        kind=f"KIND_{item.kind.upper()}",
        link=item.link,
        time=to_timestamp(item.time),
        verdict=f"VERDICT_{item.verdict.upper()}",
        rule=item.rule,
        agent=item.agent,
    )


def _report(item: Report) -> pb.DeliveryReport:
    return pb.DeliveryReport(
        message=format_name("messages", item.message_id),
        origin=item.origin,
        contact=format_name("contacts", item.contact_id) if item.contact_id else "",
        kind=f"KIND_{item.kind.upper()}",
        reason=item.reason,
        time=to_timestamp(item.time),
        suppressed=item.suppressed,
    )


def _quarantined(item: Quarantined) -> pb.QuarantinedReport:
    return pb.QuarantinedReport(
        name=format_name("quarantine", item.id),
        source=item.source,
        reason=item.reason,
        content=item.content,
        size_bytes=item.size,
        time=to_timestamp(item.time),
    )
