"""The servicers over gRPC: decode, use case, encode."""

from __future__ import annotations

import grpc
from rapport.care.v1 import care_pb2_grpc, tasks_pb2_grpc

from services.care.api.care import CareServicer
from services.care.api.tasks import TaskServicer
from services.care.smtp import SmtpListener
from services.care.usecases.figures import upkeep_figures
from services.kit.runtime import Runtime

__all__ = ["CareServicer", "background", "own_figures", "register"]

own_figures = (upkeep_figures,)


def register(server: grpc.Server, runtime: Runtime) -> None:
    """Add the servicers of care to a server."""
    care_pb2_grpc.add_CareServiceServicer_to_server(CareServicer(runtime), server)  # type: ignore[no-untyped-call]
    tasks_pb2_grpc.add_TaskServiceServicer_to_server(TaskServicer(runtime), server)  # type: ignore[no-untyped-call]


def background(runtime: Runtime) -> list[SmtpListener]:
    """Return what runs beside the API: the listener for inbound mail."""
    return [SmtpListener(runtime)]
