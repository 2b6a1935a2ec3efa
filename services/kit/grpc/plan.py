"""What the proto says about an RPC, worked out once when its service is registered."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from google.protobuf import descriptor_pool
from google.protobuf.descriptor import MethodDescriptor, ServiceDescriptor
from prometheus_client import Counter, Gauge, Histogram
from rapport.type.v1 import options_pb2

from services.kit import metrics
from services.kit.errors import InvalidArgument
from services.kit.grpc.validation import Check, compile_check

# The generated stubs type extensions as plain descriptors.
_PERMISSION: Any = options_pb2.permission
_UNTRACED = ("rapport.events.v1.EventService",)
_REACH: Any = options_pb2.reach
REACH_UNSPECIFIED = int(options_pb2.REACH_UNSPECIFIED)
REACH_RECORDS = int(options_pb2.REACH_RECORDS)


@dataclass(frozen=True, slots=True, eq=False)
class MethodPlan:
    """Hold all that the guard needs for one method, so that a call looks nothing up.

    name: `package.Service/Method`; permission: empty when anyone may call; reach: whose records
    the method touches; check: validates one request
    message, or None when there is nothing to validate; traced: whether a call is a piece of work of its own, as a
    stream and the acknowledgement of what it brought are not; attributes: of its spans.
    """

    name: str
    permission: str
    reach: int
    check: Check | None
    request_type: str
    ok: Counter
    seconds: Histogram
    in_flight: Gauge
    traced: bool
    attributes: Mapping[str, str]


def plan_service(full_name: str) -> dict[str, MethodPlan]:
    """Plan every method of a service by its full proto name.

    Raises InvalidArgument (METHOD_WITHOUT_PERMISSION) when a method declares no permission, so that a process
    with an unguarded method refuses to start.
    """
    try:
        service: ServiceDescriptor = descriptor_pool.Default().FindServiceByName(full_name)
    except KeyError as error:
        raise InvalidArgument(
            f"no descriptor of the service {full_name}: import its stubs before registering it",
            reason="UNKNOWN_SERVICE",
        ) from error
    missing = [method.name for method in service.methods if not _has_permission(method)]
    if missing:
        raise InvalidArgument(
            f"{full_name}: {', '.join(missing)} declare(s) no permission; write "
            'option (rapport.type.v1.permission) = "…" in the proto (empty for a public method)',
            reason="METHOD_WITHOUT_PERMISSION",
        )
    return {method.name: _plan(method) for method in service.methods}


def _has_permission(method: MethodDescriptor) -> bool:
    return bool(method.GetOptions().HasExtension(_PERMISSION))


def _plan(method: MethodDescriptor) -> MethodPlan:
    name = f"{method.containing_service.full_name}/{method.name}"
    return MethodPlan(
        name=name,
        permission=method.GetOptions().Extensions[_PERMISSION],
        reach=method.GetOptions().Extensions[_REACH],
        check=compile_check(method.input_type),
        request_type=method.input_type.full_name,
        ok=metrics.GRPC_CALLS.labels(name, "OK"),
        seconds=metrics.GRPC_SECONDS.labels(name),
        in_flight=metrics.GRPC_IN_FLIGHT.labels(name),
        traced=not method.server_streaming and method.containing_service.full_name not in _UNTRACED,
        attributes={"rpc.system": "grpc", "rpc.method": name},
    )
