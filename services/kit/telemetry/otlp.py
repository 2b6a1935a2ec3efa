"""Send spans to a collector by OTLP over HTTP in JSON, with OpenTelemetry's SDK.

Not in protobuf: the package with those messages and the one with CEL's (xds-protos) hold files of the same names.

In a worker the sockets are eventlet's. In a thread of its own, such as the exporter's, they have a hub of their own, so
that it never stops the hub of the handlers, which a gRPC client would.
"""

from __future__ import annotations

import logging
import os
import socket
import threading
from collections.abc import Mapping, Sequence
from contextvars import ContextVar

from opentelemetry.context import Context
from opentelemetry.exporter.otlp.json.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter, SpanExportResult
from opentelemetry.sdk.trace.id_generator import IdGenerator
from opentelemetry.sdk.trace.sampling import ALWAYS_ON, TraceIdRatioBased
from opentelemetry.trace import (
    Link,
    NonRecordingSpan,
    SpanContext,
    SpanKind,
    Status,
    StatusCode,
    TraceFlags,
    set_span_in_context,
)

from services.kit import context as call_context
from services.kit.config import Settings
from services.kit.log import safe_text
from services.kit.telemetry import spans
from services.kit.telemetry.spans import Kind, Span

_log = logging.getLogger(__name__)

PATIENCE_SECONDS = 3.0
"""How long a process that stops waits for the collector to take the last spans."""

_PATH = "v1/traces"
_KINDS = {
    Kind.INTERNAL: SpanKind.INTERNAL,
    Kind.SERVER: SpanKind.SERVER,
    Kind.CONSUMER: SpanKind.CONSUMER,
    Kind.PRODUCER: SpanKind.PRODUCER,
}
_MOST_LINKS = 128
_ids: ContextVar[tuple[int, int]] = ContextVar("rapport_span_ids")


class _GivenIds(IdGenerator):
    """Use the ids that the trace contexts have already."""

    def generate_trace_id(self) -> int:
        return _ids.get()[0]

    def generate_span_id(self) -> int:
        return _ids.get()[1]


class _Reason(logging.Handler):
    """Keep the first that a logger tells of each transmission: the last is that it gave up."""

    text = ""

    def emit(self, record: logging.LogRecord) -> None:
        """Keep it."""
        self.text = self.text or safe_text(" ".join(record.getMessage().split()))[:400]


class TellingExporter(OTLPSpanExporter):
    """Send spans, and tell once for each outage that they do not arrive, and once that they do again."""

    def __init__(self, endpoint: str) -> None:
        super().__init__(endpoint=endpoint)
        self._at = safe_text(endpoint)
        self._cut_off = False
        self._reason = _Reason()
        # Else each transmission that fails would be told, with its traceback.
        logging.getLogger("opentelemetry").setLevel(logging.CRITICAL)
        told = logging.getLogger(OTLPSpanExporter.__module__)
        told.setLevel(logging.WARNING)
        told.propagate = False
        told.handlers[:] = [self._reason]

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        """Send spans and return whether they arrived."""
        self._reason.text = ""
        result = super().export(spans)
        failed = result is not SpanExportResult.SUCCESS
        if failed and not self._cut_off:
            _log.warning(
                "spans do not reach the collector at %s and are dropped until they do. It must take OTLP over "
                "HTTP in JSON, which most do at port 4318: %s",
                self._at,
                self._reason.text or "no reason is known",
            )
        elif self._cut_off and not failed:
            _log.info("spans reach the collector at %s again", self._at)
        self._cut_off = failed
        return result


class Export:
    """Take spans for an exporter until stopped; a process has one at the most."""

    def __init__(self, exporter: SpanExporter, resource: Mapping[str, str], ratio: float) -> None:
        """Begin to record; ratio: of the traces that begin here, 0 to 1."""
        self._exporter = exporter
        # What is recorded was decided when the trace began.
        self._provider = TracerProvider(
            sampler=ALWAYS_ON,
            resource=Resource.create(dict(resource)),
            id_generator=_GivenIds(),
            shutdown_on_exit=False,
        )
        self._provider.add_span_processor(BatchSpanProcessor(exporter))
        self._tracer = self._provider.get_tracer("rapport")
        self._root = Context()
        bound = TraceIdRatioBased.get_bound_for_rate(ratio)
        call_context.sample_by(lambda trace: int(trace[16:], 16) < bound)
        spans.sink = self

    def add(self, span: Span) -> None:
        """Take a span; when the collector is too slow for them all, some are dropped."""
        own = _span_context(span.traceparent)
        _ids.set((own.trace_id, own.span_id))
        context = self._root
        # A parent that is not of the same trace was not valid when it came.
        if span.parent[3:35] == span.traceparent[3:35]:
            context = set_span_in_context(NonRecordingSpan(_span_context(span.parent)), context)
        made = self._tracer.start_span(
            span.name,
            context,
            kind=_KINDS[span.kind],
            attributes=span.attributes,
            links=[Link(_span_context(link)) for link in span.links[:_MOST_LINKS]],
            start_time=span.start,
        )
        if span.error:
            made.set_status(Status(StatusCode.ERROR, span.error))
        made.end(span.end)

    def stop(self) -> None:
        """Record no more, and send what there is, unless the collector does not answer in time."""
        if spans.sink is self:
            spans.sink = None
            call_context.sample_by(None)
        # The SDK would try for half a minute, which a process that stops has not.
        ending = threading.Thread(target=self._provider.shutdown, name="last spans", daemon=True)
        ending.start()
        ending.join(PATIENCE_SECONDS)
        if ending.is_alive():
            self._exporter.shutdown()


def open_export(settings: Settings, service: str, role: str) -> Export:
    """Begin to record spans for the collector that the settings name.

    The SDK reads the rest from its own variables, such as OTEL_EXPORTER_OTLP_HEADERS and OTEL_BSP_SCHEDULE_DELAY.
    """
    endpoint = settings.otlp_endpoint.rstrip("/")
    exporter = TellingExporter(endpoint if endpoint.endswith(f"/{_PATH}") else f"{endpoint}/{_PATH}")
    resource = {
        "service.name": f"rapport-{service}-{role}",
        "service.namespace": "rapport",
        "service.instance.id": f"{socket.gethostname()}:{os.getpid()}",
    }
    return Export(exporter, resource, settings.trace_ratio)


def _span_context(traceparent: str) -> SpanContext:
    return SpanContext(
        int(traceparent[3:35], 16),
        int(traceparent[36:52], 16),
        is_remote=True,
        trace_flags=TraceFlags(int(traceparent[53:], 16)),
    )
