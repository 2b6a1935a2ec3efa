"""Requests as they come from the wire: decoded, or marked as malformed, and checked."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from google.protobuf.message import DecodeError, Message

from services.kit.errors import InvalidArgument
from services.kit.grpc.plan import MethodPlan
from services.kit.grpc.validation import violations_error


class Malformed:
    """Stand in for a request whose bytes are no such message."""

    def __init__(self, error: Exception) -> None:
        self.error = error


def lenient(decode: Any) -> Callable[[bytes], Any]:
    """Return a decoder that marks what it cannot decode, so that the guard sees it after the token."""

    def decode_or_mark(data: bytes) -> Any:
        try:
            return decode(data)
        except (DecodeError, ValueError) as error:
            return Malformed(error)

    return decode_or_mark


def validate(plan: MethodPlan, request: Any) -> None:
    """Raise InvalidArgument (MALFORMED_REQUEST, INVALID_FIELDS) for a request that is not as the proto says."""
    if type(request) is Malformed:
        raise InvalidArgument(
            f"the bytes of the request are no {plan.request_type}", reason="MALFORMED_REQUEST"
        )
    if plan.check is not None:
        found = plan.check(request)
        if found:
            raise violations_error(found)


def validated(plan: MethodPlan, requests: Iterator[Any]) -> Iterator[Message]:
    """Yield the requests of a stream, each checked."""
    for request in requests:
        validate(plan, request)
        yield request
