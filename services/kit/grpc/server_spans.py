"""The span of a call that a server answered."""

from __future__ import annotations

import grpc

from services.kit import context as call_context
from services.kit.clock import machine_nanos
from services.kit.context import CallContext
from services.kit.grpc.plan import MethodPlan
from services.kit.telemetry import spans
from services.kit.telemetry.spans import Kind, Span

_SERVER_FAULTS = frozenset(
    {"UNKNOWN", "DEADLINE_EXCEEDED", "UNIMPLEMENTED", "INTERNAL", "UNAVAILABLE", "DATA_LOSS"}
)


def add_span(plan: MethodPlan, work: CallContext, code: str, elapsed: float) -> None:
    """Record the span of a call that has just ended after so many seconds."""
    if not plan.traced or not call_context.is_sampled(work.traceparent):
        return
    end = machine_nanos()
    number: int = grpc.StatusCode[code].value[0]
    spans.add(
        Span(
            name=plan.name,
            traceparent=work.traceparent,
            parent=work.parent,
            kind=Kind.SERVER,
            start=end - int(elapsed * 1e9),
            end=end,
            attributes={**plan.attributes, "rpc.grpc.status_code": number, "rapport.caller": work.principal},
            # By OpenTelemetry's conventions, a server's span has not failed when its caller was at fault.
            error=code if code in _SERVER_FAULTS else "",
        )
    )
