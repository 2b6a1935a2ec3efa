"""Typed errors: one class for each status code, with what the server said about the cause."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar
from urllib.parse import unquote

import grpc
from google.rpc.error_details_pb2 import BadRequest, ErrorInfo, RetryInfo
from google.rpc.status_pb2 import Status


@dataclass(frozen=True, slots=True)
class Violation:
    """Name one bad field of the request.

    Its path, such as `contacts[3].emails[0]`, and what is wrong with it.
    """

    field: str
    description: str


@dataclass(frozen=True, slots=True)
class Details:
    """Hold what came with a status.

    reason: stable, in UPPER_SNAKE_CASE, for programs to test; empty when the server gave none. retry_seconds:
    how long the server asks to wait before another attempt, or None.
    """

    reason: str = ""
    domain: str = ""
    metadata: dict[str, str] = field(default_factory=dict)
    violations: tuple[Violation, ...] = ()
    retry_seconds: float | None = None
    request_id: str = ""


class RapportError(Exception):
    """Report that a call failed; subclasses fix the status code."""

    code: ClassVar[grpc.StatusCode] = grpc.StatusCode.UNKNOWN

    def __init__(self, message: str, details: Details | None = None, *, method: str = "") -> None:
        found = details or Details()
        self.message = message
        self.reason = found.reason or self.code.name
        self.domain = found.domain
        self.metadata = found.metadata
        self.violations = found.violations
        self.retry_seconds = found.retry_seconds
        self.request_id = found.request_id
        self.method = method
        super().__init__(message)

    def __str__(self) -> str:
        where = f"{self.method}: " if self.method else ""
        return f"{where}{self.reason}: {self.message}"


class Cancelled(RapportError):
    """Report that the call, or the work it asks about, was cancelled."""

    code = grpc.StatusCode.CANCELLED


class Unknown(RapportError):
    """Report a failure of which nothing is known."""


class InvalidArgument(RapportError):
    """Report that the request is wrong whatever the state of the system; see `violations`."""

    code = grpc.StatusCode.INVALID_ARGUMENT


class DeadlineExceeded(RapportError):
    """Report that time ran out; a write may or may not have taken effect."""

    code = grpc.StatusCode.DEADLINE_EXCEEDED


class NotFound(RapportError):
    """Report that a named resource does not exist."""

    code = grpc.StatusCode.NOT_FOUND


class AlreadyExists(RapportError):
    """Report that what was to be made is there already."""

    code = grpc.StatusCode.ALREADY_EXISTS


class PermissionDenied(RapportError):
    """Report that the caller may not do this; `metadata["permission"]` says what is missing."""

    code = grpc.StatusCode.PERMISSION_DENIED


class ResourceExhausted(RapportError):
    """Report that a limit was reached: message size, calls at once, streams."""

    code = grpc.StatusCode.RESOURCE_EXHAUSTED


class FailedPrecondition(RapportError):
    """Report that the present state does not allow the request."""

    code = grpc.StatusCode.FAILED_PRECONDITION


class Aborted(RapportError):
    """Report that somebody else changed the resource meanwhile: read it again and decide anew."""

    code = grpc.StatusCode.ABORTED


class OutOfRange(RapportError):
    """Report a position or time outside of what is kept."""

    code = grpc.StatusCode.OUT_OF_RANGE


class Unimplemented(RapportError):
    """Report that the server does not have the method."""

    code = grpc.StatusCode.UNIMPLEMENTED


class Internal(RapportError):
    """Report a fault of the server; quote `request_id` to its operator."""

    code = grpc.StatusCode.INTERNAL


class Unavailable(RapportError):
    """Report that the service cannot be reached now, after the retries that were safe."""

    code = grpc.StatusCode.UNAVAILABLE


class DataLoss(RapportError):
    """Report unrecoverable loss of data."""

    code = grpc.StatusCode.DATA_LOSS


class Unauthenticated(RapportError):
    """Report that no token was sent, or one that the server does not know."""

    code = grpc.StatusCode.UNAUTHENTICATED


_BY_CODE: dict[grpc.StatusCode, type[RapportError]] = {
    kind.code: kind for kind in RapportError.__subclasses__() if kind is not Unknown
}
_TOO_LARGE = "eceived message larger than max"
# How gRPC says it: "connections to all backends failing; last error: UNKNOWN: ipv4:127.0.0.1:7412: Failed to …".
_UNREACHED = re.compile(r"\bipv[46]:(\S+): Failed to connect to remote host: (.+)")
_BY_NUMBER: dict[int, grpc.StatusCode] = {code.value[0]: code for code in grpc.StatusCode}


def from_rpc_error(error: Any, method: str = "") -> RapportError:
    """Make the typed error of a grpc.RpcError that ended a call."""
    request_id = ""
    details = Details()
    for key, value in error.trailing_metadata() or ():
        if key == "grpc-status-details-bin":
            details = _details(Status.FromString(value).details)
        elif key == "x-request-id":
            request_id = str(value)
    details = Details(
        details.reason,
        details.domain,
        details.metadata,
        details.violations,
        details.retry_seconds,
        request_id,
    )
    message = error.details() or ""
    if error.code() is grpc.StatusCode.UNIMPLEMENTED and not details.reason:
        # What gRPC itself answers for a method that nobody serves says no more than that.
        message = (
            "the server does not have this method: it runs an older release than this client was made for, or is not "
            f"the service that was meant ({message})"
        )
    elif error.code() is grpc.StatusCode.RESOURCE_EXHAUSTED and not details.reason and _TOO_LARGE in message:
        # Of gRPC itself as well, the server's or our own, before anybody could say more.
        details = replace(details, reason="MESSAGE_TOO_LARGE")
        message = (
            "the message is larger than is taken: send or ask for fewer items at a time, or have the server's "
            f"RAPPORT_MAX_MESSAGE_BYTES raised ({message})"
        )
    elif error.code() is grpc.StatusCode.UNAVAILABLE and (unreached := _UNREACHED.search(message)):
        message = f"nobody answers at {unquote(unreached[1])}: {unreached[2][:1].lower()}{unreached[2][1:]}"
    return _BY_CODE.get(error.code(), Unknown)(message, details, method=method)


def from_status(status: Status, method: str = "") -> RapportError:
    """Make the typed error of a google.rpc.Status, such as that of a failed operation."""
    code = _BY_NUMBER.get(status.code, grpc.StatusCode.UNKNOWN)
    return _BY_CODE.get(code, Unknown)(status.message, _details(status.details), method=method)


def _details(packed: Iterable[Any]) -> Details:
    reason = domain = ""
    metadata: dict[str, str] = {}
    violations: tuple[Violation, ...] = ()
    retry_seconds: float | None = None
    for item in packed:
        if item.Is(ErrorInfo.DESCRIPTOR):
            info = ErrorInfo()
            item.Unpack(info)
            reason, domain, metadata = info.reason, info.domain, dict(info.metadata)
        elif item.Is(BadRequest.DESCRIPTOR):
            bad = BadRequest()
            item.Unpack(bad)
            violations = tuple(Violation(entry.field, entry.description) for entry in bad.field_violations)
        elif item.Is(RetryInfo.DESCRIPTOR):
            retry = RetryInfo()
            item.Unpack(retry)
            retry_seconds = retry.retry_delay.seconds + retry.retry_delay.nanos / 1e9
    return Details(reason, domain, metadata, violations, retry_seconds)
