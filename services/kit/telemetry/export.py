"""Whether a process records spans, and where it sends them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from services.kit.config import Settings


@contextmanager
def recording(settings: Settings, service: str, role: str) -> Iterator[None]:
    """Record spans within a block when the settings name a collector; at its end, send what is left."""
    if not settings.otlp_endpoint:
        yield
        return
    # Not before: the libraries take a quarter of a second to load.
    from services.kit.telemetry.otlp import open_export

    export = open_export(settings, service, role)
    try:
        yield
    finally:
        export.stop()
