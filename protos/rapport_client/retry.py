"""When to try a call again, and after how long."""

from __future__ import annotations

import random
from dataclasses import dataclass

from google.protobuf.descriptor import MethodDescriptor
from google.protobuf.descriptor_pb2 import MethodOptions

from rapport_client.errors import RapportError, ResourceExhausted, Unavailable

# What a gRPC server says when it refuses a call before any handler sees it.
_REFUSED_UNSEEN = "Concurrent RPC limit exceeded"
# Why a guard refuses a call before its handler sees it.
_OVER_LIMITS = frozenset({"TOO_MANY_CALLS", "TOO_MANY_BYTES"})


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """Retry with exponential back-off and full jitter, within the call's deadline.

    attempts: calls in all at the most; first_seconds, most_seconds: bounds of the back-off.
    """

    attempts: int = 6
    first_seconds: float = 0.1
    most_seconds: float = 5.0

    def delay(self, attempt: int, error: RapportError) -> float:
        """Return the seconds to wait after the given failed attempt (1 is the first)."""
        if error.retry_seconds is not None:
            return error.retry_seconds
        ceiling = min(self.most_seconds, self.first_seconds * 2.0 ** (attempt - 1))
        return ceiling * random.uniform(0.5, 1.0)


NO_RETRY = RetryPolicy(attempts=1)


def is_safe(method: MethodDescriptor) -> bool:
    """Tell whether a repeated call has the effect of one.

    By its idempotency level, or because it has a request id.
    """
    level = method.GetOptions().idempotency_level
    return level in (MethodOptions.NO_SIDE_EFFECTS, MethodOptions.IDEMPOTENT) or has_request_id(method)


def has_request_id(method: MethodDescriptor) -> bool:
    """Tell whether the request has a `request_id`, by which the server knows a repetition (AIP-155)."""
    return "request_id" in method.input_type.fields_by_name


def may_retry(error: RapportError, *, safe: bool) -> bool:
    """Tell whether to try again after this error."""
    if isinstance(error, ResourceExhausted) and (
        error.message.startswith(_REFUSED_UNSEEN) or error.reason in _OVER_LIMITS
    ):
        return True
    return safe and (isinstance(error, Unavailable) or error.retry_seconds is not None)
