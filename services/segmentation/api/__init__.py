"""The servicers over gRPC: each method decodes the request, calls its use case and encodes the answer."""

from __future__ import annotations

import grpc
from rapport.segmentation.v1 import insight_pb2_grpc, segmentation_pb2_grpc

from services.kit.runtime import Runtime
from services.segmentation.api.code import CodeMethods
from services.segmentation.api.explaining import ExplainMethods
from services.segmentation.api.history import HistoryMethods
from services.segmentation.api.insight import InsightServicer
from services.segmentation.api.lists import ListMethods
from services.segmentation.api.members import MemberMethods
from services.segmentation.api.rules import RuleMethods
from services.segmentation.api.segments import SegmentMethods
from services.segmentation.api.testing import RuleTestMethods
from services.segmentation.context import release, service_of
from services.segmentation.usecases.figures import upkeep_figures

own_figures = (upkeep_figures,)


class SegmentationServicer(
    SegmentMethods,
    MemberMethods,
    HistoryMethods,
    ExplainMethods,
    RuleMethods,
    ListMethods,
    CodeMethods,
    RuleTestMethods,
    segmentation_pb2_grpc.SegmentationServiceServicer,
):
    """Answer the RPCs of SegmentationService; see the proto for what each promises."""


def register(server: grpc.Server, runtime: Runtime) -> None:
    """Add the servicers of segments and insight to a server."""
    servicer = SegmentationServicer(service_of(runtime))
    segmentation_pb2_grpc.add_SegmentationServiceServicer_to_server(servicer, server)  # type: ignore[no-untyped-call]
    insight_pb2_grpc.add_InsightServiceServicer_to_server(InsightServicer(service_of(runtime)), server)  # type: ignore[no-untyped-call]


def background(runtime: Runtime) -> list[PluginPart]:
    """Return what runs beside the API: the plugin host."""
    return [PluginPart(runtime)]


class PluginPart:
    """Start the plugin host with the process, so that a required plugin is missed at once, and end it with it."""

    def __init__(self, runtime: Runtime) -> None:
        self._runtime = runtime

    def start(self) -> None:
        """Load the plugins."""
        service_of(self._runtime).plugins.catalog()

    def stop(self) -> None:
        """End the host's processes."""
        release(self._runtime)
