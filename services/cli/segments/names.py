"""Names of segments and times as people type them."""

from __future__ import annotations

from datetime import UTC, datetime

from services.kit.errors import InvalidArgument


def segment_name(segment: str) -> str:
    """Return the resource name of a segment given by its id or by its name."""
    return segment if segment.startswith("segments/") else f"segments/{segment}"


def instant(text: str) -> datetime:
    """Return the time of `--as-of`, in UTC unless it says otherwise; raises InvalidArgument."""
    try:
        found = datetime.fromisoformat(text)
    except ValueError as error:
        raise InvalidArgument(f"--as-of: {error}") from error
    return found if found.tzinfo else found.replace(tzinfo=UTC)
