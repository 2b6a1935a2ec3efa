"""Continue the trace of a caller who uses OpenTelemetry; without it, nothing."""

from __future__ import annotations

import sys
from typing import Any


def trace_metadata() -> tuple[tuple[str, str], ...]:
    """Return the W3C trace context of the caller's current span as metadata; empty when there is none.

    The client neither needs nor loads OpenTelemetry: who has a current span has loaded it.
    """
    api: Any = sys.modules.get("opentelemetry.trace")
    if api is None:
        return ()
    span = api.get_current_span().get_span_context()
    if not span.is_valid:
        return ()
    value = f"00-{span.trace_id:032x}-{span.span_id:016x}-{int(span.trace_flags):02x}"
    state = span.trace_state.to_header()
    return (("traceparent", value), *((("tracestate", state),) if state else ()))
