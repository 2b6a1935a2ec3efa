"""Where the JSON of an entry or a single message keeps the trace in which it came to be."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

TRACE = "_traceparent"
"""The key of the W3C trace context; no field of an event or a message is named so."""


def without_trace(content: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return what is for templates."""
    return {key: value for key, value in content.items() if key != TRACE}
