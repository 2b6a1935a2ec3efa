"""Typed errors of the domain; one interceptor maps them to the wire.

Raise the most specific type, with a stable `reason` in UPPER_SNAKE_CASE that programs may test, and a message that
names what was wrong, where, and what to do.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class FieldViolation:
    """Name one bad field of a request: its path, such as `contacts[3].emails[0]`, and what is wrong with it."""

    field: str
    description: str


class RapportError(Exception):
    """Report a failure that the caller can understand; subclasses fix the kind."""

    default_reason = "INTERNAL"

    def __init__(
        self,
        message: str,
        *,
        reason: str | None = None,
        metadata: Mapping[str, str] | None = None,
        violations: Sequence[FieldViolation] = (),
        retry_seconds: float | None = None,
    ) -> None:
        """retry_seconds: after which the same call may work, when that is known."""
        super().__init__(message)
        self.message = message
        self.reason = reason or self.default_reason
        self.metadata = dict(metadata or {})
        self.violations = tuple(violations)
        self.retry_seconds = retry_seconds


class InvalidArgument(RapportError):
    """Refuse a request whose content is wrong, whatever the state of the system."""

    default_reason = "INVALID_ARGUMENT"

    @classmethod
    def field(cls, field: str, description: str, *, reason: str | None = None) -> InvalidArgument:
        """Build the error for a single bad field."""
        return cls(f"{field}: {description}", reason=reason, violations=[FieldViolation(field, description)])


class OutOfRange(RapportError):
    """Refuse a position or time outside of what is kept."""

    default_reason = "OUT_OF_RANGE"


class NotFound(RapportError):
    """Report that a named resource does not exist."""

    default_reason = "NOT_FOUND"

    @classmethod
    def resource(cls, name: str) -> NotFound:
        """Build the error for a missing resource, such as `contacts/…`."""
        return cls(f"{name} does not exist", metadata={"resource": name})


class AlreadyExists(RapportError):
    """Report that what was to be made is there already."""

    default_reason = "ALREADY_EXISTS"


class FailedPrecondition(RapportError):
    """Refuse a request that the present state does not allow; it may work after the state has changed."""

    default_reason = "FAILED_PRECONDITION"


class Aborted(RapportError):
    """Report that somebody else changed the resource meanwhile (a stale etag); read it again and decide anew."""

    default_reason = "ETAG_MISMATCH"


class Unauthenticated(RapportError):
    """Refuse a caller who did not prove who it is."""

    default_reason = "UNAUTHENTICATED"


class PermissionDenied(RapportError):
    """Refuse a caller who may not do this."""

    default_reason = "PERMISSION_DENIED"


class ResourceExhausted(RapportError):
    """Refuse a request that goes over a limit."""

    default_reason = "RESOURCE_EXHAUSTED"


class OverLimit(ResourceExhausted):
    """Refuse a caller that asks for more than one caller may; such refusals are on record."""


class Unavailable(RapportError):
    """Report that something needed is not reachable now; the same call may work later."""

    default_reason = "UNAVAILABLE"


class DeadlineExceeded(RapportError):
    """Report that the caller's deadline passed before the work was done."""

    default_reason = "DEADLINE_EXCEEDED"


class Cancelled(RapportError):
    """Report that work was stopped because somebody asked for it."""

    default_reason = "CANCELLED"
