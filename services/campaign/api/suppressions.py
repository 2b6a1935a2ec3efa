"""Methods of CampaignService on the suppression list."""

from __future__ import annotations

import grpc
from rapport.campaign.v1 import campaign_pb2 as pb

from services.campaign.api.base import Methods
from services.campaign.usecases import suppressions
from services.kit.wire import to_timestamp

_PAGE = (100, 1000)


class SuppressionMethods(Methods):
    """Answer the RPCs on the suppression list."""

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
        found, token = self.page(
            request,
            _PAGE,
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
