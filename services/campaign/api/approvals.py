"""ApprovalService over gRPC: each method decodes the request, calls its use case and encodes the answer."""

from __future__ import annotations

import grpc
from rapport.campaign.v1 import approvals_pb2 as pb
from rapport.campaign.v1 import approvals_pb2_grpc
from sqlalchemy import Connection

from services.campaign.api.base import SIZES, Methods
from services.campaign.domain.approvals import Approval, Policy
from services.campaign.journey_codec import decode_journey
from services.campaign.usecases import approvals, journeys
from services.kit.money import from_money, to_money
from services.kit.names import format_name, parse_key, parse_name
from services.kit.wire import enum_number, enum_text, set_timestamp, to_timestamp


class ApprovalServicer(Methods, approvals_pb2_grpc.ApprovalServiceServicer):
    """Answer the RPCs of ApprovalService; see the proto for what each promises."""

    def SetApprovalPolicy(
        self, request: pb.SetApprovalPolicyRequest, context: grpc.ServicerContext
    ) -> pb.SetApprovalPolicyResponse:
        """Set when campaigns on a topic need approval."""
        stored = approvals.set_policy(self._runtime, self._policy(request.policy))
        return pb.SetApprovalPolicyResponse(policy=_encode_policy(stored))

    def ListApprovalPolicies(
        self, request: pb.ListApprovalPoliciesRequest, context: grpc.ServicerContext
    ) -> pb.ListApprovalPoliciesResponse:
        """List the policies."""
        found = approvals.list_policies(self._runtime)
        return pb.ListApprovalPoliciesResponse(policies=[_encode_policy(item) for item in found])

    def DeleteApprovalPolicy(
        self, request: pb.DeleteApprovalPolicyRequest, context: grpc.ServicerContext
    ) -> pb.DeleteApprovalPolicyResponse:
        """Remove a policy."""
        approvals.delete_policy(self._runtime, request.topic)
        return pb.DeleteApprovalPolicyResponse()

    def RequestApproval(
        self, request: pb.RequestApprovalRequest, context: grpc.ServicerContext
    ) -> pb.RequestApprovalResponse:
        """Ask for approval."""
        origin = _origin(request.name, "name")

        def ask(connection: Connection) -> pb.RequestApprovalResponse:
            proposal = None
            if request.HasField("journey"):
                given = decode_journey(parse_key(request.name, "journeys"), request.journey)
                proposal = journeys.sound(self._runtime, connection, given)
            asked = approvals.request(
                self._runtime, connection, origin, request.comment, proposal, request.recurrence
            )
            return pb.RequestApprovalResponse(approval=_encode(asked))

        return self.once(request, pb.RequestApprovalResponse, ask)

    def ApproveCampaign(
        self, request: pb.ApproveCampaignRequest, context: grpc.ServicerContext
    ) -> pb.ApproveCampaignResponse:
        """Approve a campaign."""
        origin = format_name("campaigns", parse_key(request.name, "campaigns"))
        return self.once(
            request,
            pb.ApproveCampaignResponse,
            lambda connection: pb.ApproveCampaignResponse(
                approval=_encode(
                    approvals.approve(self._runtime, connection, origin, request.comment, request.fingerprint)
                )
            ),
        )

    def RejectCampaign(
        self, request: pb.RejectCampaignRequest, context: grpc.ServicerContext
    ) -> pb.RejectCampaignResponse:
        """Reject a campaign."""
        origin = format_name("campaigns", parse_key(request.name, "campaigns"))
        return self.once(
            request,
            pb.RejectCampaignResponse,
            lambda connection: pb.RejectCampaignResponse(
                approval=_encode(approvals.reject(self._runtime, connection, origin, request.comment))
            ),
        )

    def ApproveJourney(
        self, request: pb.ApproveJourneyRequest, context: grpc.ServicerContext
    ) -> pb.ApproveJourneyResponse:
        """Approve a journey."""
        origin = format_name("journeys", parse_key(request.name, "journeys"))
        return self.once(
            request,
            pb.ApproveJourneyResponse,
            lambda connection: pb.ApproveJourneyResponse(
                approval=_encode(
                    approvals.approve(self._runtime, connection, origin, request.comment, request.fingerprint)
                )
            ),
        )

    def RejectJourney(
        self, request: pb.RejectJourneyRequest, context: grpc.ServicerContext
    ) -> pb.RejectJourneyResponse:
        """Reject a journey."""
        origin = format_name("journeys", parse_key(request.name, "journeys"))
        return self.once(
            request,
            pb.RejectJourneyResponse,
            lambda connection: pb.RejectJourneyResponse(
                approval=_encode(approvals.reject(self._runtime, connection, origin, request.comment))
            ),
        )

    def CheckApproval(
        self, request: pb.CheckApprovalRequest, context: grpc.ServicerContext
    ) -> pb.CheckApprovalResponse:
        """Say what approval a campaign needs and has."""
        standing = approvals.check(self._runtime, _origin(request.name, "name"))
        return pb.CheckApprovalResponse(
            reasons=standing.reasons,
            launchable=standing.passes,
            changes=standing.changes,
            approval=None if standing.approval is None else _encode(standing.approval),
        )

    def ListApprovals(
        self, request: pb.ListApprovalsRequest, context: grpc.ServicerContext
    ) -> pb.ListApprovalsResponse:
        """List requests, newest first."""
        origin = _origin(request.campaign, "campaign") if request.campaign else ""
        state = enum_text(pb.Approval.State, request.state)
        found, token = self.page(
            request,
            SIZES,
            lambda place, count: approvals.list_approvals(
                self._runtime,
                origin=origin,
                state=state,
                before=parse_name(place["name"], "approvals") if place else None,
                count=count,
            ),
            lambda item: {"name": format_name("approvals", item.id)},
        )
        return pb.ListApprovalsResponse(approvals=[_encode(item) for item in found], next_page_token=token)

    def _policy(self, message: pb.ApprovalPolicy) -> Policy:
        budget = message.budget_above
        return Policy(
            topic=message.topic,
            always=message.always,
            audience_above=message.audience_above if message.HasField("audience_above") else None,
            budget_above=(from_money(budget, "policy.budget_above"), budget.currency_code)
            if message.HasField("budget_above")
            else None,
            size_tolerance_percent=message.size_tolerance_percent,
            update_time=self._runtime.clock.now(),
        )


def _origin(name: str, field: str) -> str:
    kind = "journeys" if name.startswith("journeys/") else "campaigns"
    return format_name(kind, parse_key(name, kind, field))


def _encode_policy(item: Policy) -> pb.ApprovalPolicy:
    return pb.ApprovalPolicy(
        topic=item.topic,
        always=item.always,
        audience_above=item.audience_above,
        budget_above=None if item.budget_above is None else to_money(*item.budget_above),
        size_tolerance_percent=item.size_tolerance_percent,
        update_time=to_timestamp(item.update_time),
    )


def _encode(item: Approval) -> pb.Approval:
    message = pb.Approval(
        name=format_name("approvals", item.id),
        campaign=item.origin if item.campaign_id else "",
        journey=item.origin if item.journey_id else "",
        state=enum_number(pb.Approval.State, item.state),
        requester=item.requester,
        request_comment=item.request_comment,
        request_time=to_timestamp(item.request_time),
        decider=item.decider,
        decision_comment=item.decision_comment,
        subject=item.subject,
        fingerprint=item.fingerprint,
    )
    set_timestamp(message.decide_time, item.decide_time)
    return message
