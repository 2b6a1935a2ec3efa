"""What an HTTP answer says of a message."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime

from rapport_sdk import Outcome

from rapport_builtin.web.client import Answer

# About us, the moment or the way, not about the message: 401, 403 and 407 are our credentials.
_LATER = frozenset({401, 403, 407, 408, 409, 421, 423, 425, 429})


def outcome_of(status: int) -> Outcome:
    """Return the outcome by the status: 2xx accepted; 5xx and what may pass temporary; all else permanent."""
    if 200 <= status < 300:
        return Outcome.ACCEPTED
    return Outcome.TEMPORARY if status >= 500 or status in _LATER else Outcome.PERMANENT


def retry_after(answer: Answer, now: datetime) -> timedelta | None:
    """Return how long a server asks to wait (RFC 9110, 10.2.3: seconds or a date); None when it does not say."""
    text = answer.headers.get("retry-after", "").strip()
    if not text:
        return None
    if text.isascii() and text.isdigit():
        return timedelta(seconds=min(int(text), 10**8))
    try:
        moment = parsedate_to_datetime(text)
    except (ValueError, OverflowError):
        return None
    return max(timedelta(0), (moment if moment.tzinfo else moment.replace(tzinfo=UTC)) - now)
