"""Turn exceptions into google.rpc.Status: a code, one ErrorInfo, BadRequest when fields are at fault,
RetryInfo when it is known when to come again."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from urllib.parse import quote

import grpc
from google.protobuf.any_pb2 import Any
from google.rpc.error_details_pb2 import BadRequest, ErrorInfo, RetryInfo
from google.rpc.status_pb2 import Status
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from services.kit import db, errors

DOMAIN = "rapport"

# gRPC sends errors in headers, which clients refuse beyond 8 KiB; the text goes there twice, the details in
# base64.
_MESSAGE_BYTES = 1800
_VIOLATION_BYTES = 1700
_METADATA_BYTES = 900
_DESCRIPTION_BYTES = 300
_LONGEST_WORD = 60

_CODES: dict[type[errors.RapportError], grpc.StatusCode] = {
    errors.InvalidArgument: grpc.StatusCode.INVALID_ARGUMENT,
    errors.OutOfRange: grpc.StatusCode.OUT_OF_RANGE,
    errors.NotFound: grpc.StatusCode.NOT_FOUND,
    errors.AlreadyExists: grpc.StatusCode.ALREADY_EXISTS,
    errors.FailedPrecondition: grpc.StatusCode.FAILED_PRECONDITION,
    errors.Aborted: grpc.StatusCode.ABORTED,
    errors.Unauthenticated: grpc.StatusCode.UNAUTHENTICATED,
    errors.PermissionDenied: grpc.StatusCode.PERMISSION_DENIED,
    errors.ResourceExhausted: grpc.StatusCode.RESOURCE_EXHAUSTED,
    errors.Unavailable: grpc.StatusCode.UNAVAILABLE,
    errors.DeadlineExceeded: grpc.StatusCode.DEADLINE_EXCEEDED,
    errors.Cancelled: grpc.StatusCode.CANCELLED,
}

# Codes of a call to another service that mean the same to our caller; the others say that we asked wrongly.
_PASSED_ON = frozenset(
    {
        grpc.StatusCode.INVALID_ARGUMENT,
        grpc.StatusCode.OUT_OF_RANGE,
        grpc.StatusCode.NOT_FOUND,
        grpc.StatusCode.ALREADY_EXISTS,
        grpc.StatusCode.FAILED_PRECONDITION,
        grpc.StatusCode.ABORTED,
        grpc.StatusCode.RESOURCE_EXHAUSTED,
        grpc.StatusCode.UNAVAILABLE,
        grpc.StatusCode.DEADLINE_EXCEEDED,
        grpc.StatusCode.CANCELLED,
    }
)


@dataclass(frozen=True, slots=True)
class Failure:
    """Say how a call failed, in wire terms.

    `expected` is false for faults of our own, which need a traceback.
    """

    code: grpc.StatusCode
    message: str
    reason: str
    metadata: dict[str, str]
    violations: tuple[errors.FieldViolation, ...] = ()
    expected: bool = True
    retry_seconds: float | None = None


def classify(error: BaseException, request_id: str) -> Failure:
    """Find the failure that an exception means.

    What is unknown becomes INTERNAL and tells nothing of itself.
    """
    if isinstance(error, errors.RapportError):
        code = next((_CODES[kind] for kind in type(error).__mro__ if kind in _CODES), None)
        if code is not None:
            return Failure(
                code,
                error.message,
                error.reason,
                error.metadata,
                error.violations,
                retry_seconds=error.retry_seconds,
            )
    if isinstance(error, PoolTimeout):
        return _unavailable("DATABASE_BUSY", "all database connections are in use; try again")
    if isinstance(error, DBAPIError):
        return _of_database(error, request_id)
    return _of_other_service(error) or _internal(request_id)


def _of_database(error: DBAPIError, request_id: str) -> Failure:
    state = getattr(error.orig, "sqlstate", None)
    if state == "57014":
        message = "the database stopped the statement at its time limit; ask for less or allow more time"
        return Failure(grpc.StatusCode.DEADLINE_EXCEEDED, message, "STATEMENT_TIMEOUT", {}, expected=False)
    if state in ("53100", "53200"):
        message = "the database has no room left; nothing was written"
        return Failure(grpc.StatusCode.RESOURCE_EXHAUSTED, message, "DATABASE_FULL", {}, expected=False)
    if state in ("40001", "40P01", "55P03"):
        return _unavailable(
            "TRANSACTION_CONFLICT", "the change met another one at the same moment; try again"
        )
    if db.is_transient(error):
        return _unavailable(
            "DATABASE_UNAVAILABLE", "the database cannot be reached now; try again", expected=False
        )
    return _internal(request_id)


def _of_other_service(error: BaseException) -> Failure | None:
    from rapport_client.errors import RapportError as RemoteError

    if isinstance(error, RemoteError) and error.code in _PASSED_ON:
        violations = tuple(errors.FieldViolation(item.field, item.description) for item in error.violations)
        return Failure(
            error.code,
            error.message,
            error.reason,
            dict(error.metadata),
            violations,
            retry_seconds=error.retry_seconds,
        )
    return None


def _unavailable(reason: str, message: str, *, expected: bool = True) -> Failure:
    return Failure(grpc.StatusCode.UNAVAILABLE, message, reason, {}, expected=expected)


def _internal(request_id: str) -> Failure:
    message = f"internal error; the log has the details under request id {request_id}"
    return Failure(grpc.StatusCode.INTERNAL, message, "INTERNAL", {"request_id": request_id}, expected=False)


class WireStatus(grpc.Status):
    """Carry code, message and trailing metadata to `ServicerContext.abort_with_status`."""

    def __init__(
        self, code: grpc.StatusCode, details: str, trailing_metadata: tuple[tuple[str, str | bytes], ...]
    ) -> None:
        self.code = code
        self.details = details
        self.trailing_metadata = trailing_metadata


def status_message(failure: Failure) -> Status:
    """Build the google.rpc.Status of a failure, cut to what fits into response headers."""
    message = _cut_message(failure.message)
    status = Status(code=failure.code.value[0], message=message)
    metadata = _fitting_metadata(failure.metadata)
    details = list(_fitting(failure.violations))
    if len(details) < len(failure.violations):
        metadata["violations_omitted"] = str(len(failure.violations) - len(details))
    status.details.append(_pack(ErrorInfo(reason=failure.reason, domain=DOMAIN, metadata=metadata)))
    if details:
        status.details.append(_pack(BadRequest(field_violations=details)))
    if failure.retry_seconds is not None:
        status.details.append(_pack(_retry_info(failure.retry_seconds)))
    return status


def to_wire(failure: Failure, request_id: str) -> WireStatus:
    """Build what the call ends with."""
    status = status_message(failure)
    trailing: tuple[tuple[str, str | bytes], ...] = (("grpc-status-details-bin", status.SerializeToString()),)
    if request_id:
        trailing += (("x-request-id", request_id),)
    return WireStatus(failure.code, status.message, trailing)


def _retry_info(seconds: float) -> RetryInfo:
    info = RetryInfo()
    info.retry_delay.FromNanoseconds(int(seconds * 1e9))
    return info


def _pack(message: ErrorInfo | BadRequest | RetryInfo) -> Any:
    packed = Any()
    packed.Pack(message)
    return packed


def _fitting_metadata(metadata: Mapping[str, str]) -> dict[str, str]:
    room = _METADATA_BYTES
    fitting: dict[str, str] = {}
    for key, value in metadata.items():
        cut = _clean(value)[:300]
        room -= len(key.encode()) + len(cut.encode())
        if room < 0:
            break
        fitting[key] = cut
    return fitting


def _clean(text: str) -> str:
    # File names from the system may hold what UTF-8 cannot.
    return text.encode("utf-8", "replace").decode()


def _cut_message(text: str) -> str:
    text = _clean(text)
    whole = text
    # Headers carry the text percent-encoded, which triples or more what is not ASCII.
    if len(quote(text)) <= _MESSAGE_BYTES:
        return text
    while len(quote(text)) > _MESSAGE_BYTES - 10:
        text = text[: len(text) * 9 // 10]
    return _end_at_word(whole, len(text))


def _end_at_word(text: str, most: int) -> str:
    """Cut a text at so many characters, or a little before, between two words."""
    head, tail = text[:most], text[most : most + 1]
    start, space, word = head.rpartition(" ")
    # Some languages write without spaces, and a long word may be all there is.
    if space and start and not tail.isspace() and len(word) <= _LONGEST_WORD:
        head = start
    return head.rstrip() + "…"


def _cut_description(text: str, most_bytes: int) -> str:
    text = _clean(text)
    if len(text.encode()) <= most_bytes:
        return text
    return _end_at_word(text, len(text.encode()[: most_bytes - 3].decode(errors="ignore")))


def _fitting(violations: Sequence[errors.FieldViolation]) -> Iterable[BadRequest.FieldViolation]:
    room = _VIOLATION_BYTES
    # A few may say more than many.
    share = max(_DESCRIPTION_BYTES, (room - 200) // max(1, len(violations)) - 100)
    for violation in violations:
        item = BadRequest.FieldViolation(
            field=_clean(violation.field)[:200], description=_cut_description(violation.description, share)
        )
        room -= item.ByteSize() + 2
        if room < 0:
            return
        yield item
