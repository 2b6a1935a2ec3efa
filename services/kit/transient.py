"""Which errors may pass when the same work is tried again."""

from __future__ import annotations

import grpc
from sqlalchemy.exc import TimeoutError as PoolTimeout

from services.kit import db
from services.kit.errors import Aborted, Unavailable

_CODES = {
    grpc.StatusCode.UNAVAILABLE,
    grpc.StatusCode.DEADLINE_EXCEEDED,
    grpc.StatusCode.RESOURCE_EXHAUSTED,
    grpc.StatusCode.ABORTED,
    grpc.StatusCode.CANCELLED,
    # A wrong token or a service that is older than its caller: an operator's matter, not the work's.
    grpc.StatusCode.UNAUTHENTICATED,
    grpc.StatusCode.PERMISSION_DENIED,
    grpc.StatusCode.UNIMPLEMENTED,
}


def is_transient(error: BaseException) -> bool:
    """Tell whether an error comes from the state of the world rather than from the work itself.

    Looks along the chain of `raise … from`, where a cause that is transient makes the whole so.
    """
    seen: set[int] = set()
    current: BaseException | None = error
    while current is not None and id(current) not in seen:
        seen.add(id(current))
        if _one(current):
            return True
        current = current.__cause__
    return False


def _one(error: BaseException) -> bool:
    if db.is_transient(error) or isinstance(
        error, Unavailable | Aborted | PoolTimeout | ConnectionError | TimeoutError
    ):
        return True
    # grpc.RpcError and the client library's errors both tell their status code, by a method or an attribute.
    code = getattr(error, "code", None)
    if callable(code):
        try:
            code = code()
        except TypeError:
            return False
    return isinstance(code, grpc.StatusCode) and code in _CODES
