"""Spans that are kept in the process instead of being sent."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from unittest.mock import patch

from services.kit import context
from services.kit.telemetry import spans
from services.kit.telemetry.spans import Span


def trace_of(digit: str, *, sampled: bool = True) -> str:
    """Return a W3C trace context that is easily told from others."""
    return f"00-{digit * 32}-{digit * 16}-0{int(sampled)}"


class Kept:
    """Spans in the order in which their work ended."""

    def __init__(self) -> None:
        self.spans: list[Span] = []

    def add(self, span: Span) -> None:
        """Keep a span."""
        self.spans.append(span)


@contextmanager
def keeping_spans() -> Iterator[list[Span]]:
    """Record spans of sampled traces within a block; none begins there."""
    kept = Kept()
    with patch.object(spans, "sink", kept):
        try:
            yield kept.spans
        finally:
            context.sample_by(None)
