"""Times as people type them."""

from __future__ import annotations

from datetime import UTC, datetime

from google.protobuf.timestamp_pb2 import Timestamp

from services.kit.errors import InvalidArgument


def instant(text: str, option: str) -> Timestamp | None:
    """Return an ISO time, UTC when it names no zone; None for an empty text. Raises InvalidArgument."""
    if not text:
        return None
    try:
        given = datetime.fromisoformat(text)
        stamp = Timestamp()
        stamp.FromDatetime(given if given.tzinfo else given.replace(tzinfo=UTC))
    except ValueError as error:
        raise InvalidArgument(f"{option}: {error}") from error
    return stamp
