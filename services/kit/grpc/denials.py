"""Which failures of a call are refusals, and so belong on the record."""

from __future__ import annotations

from services.kit.context import CallContext
from services.kit.errors import NotFound, OverLimit, PermissionDenied
from services.kit.grpc.plan import MethodPlan

NOT_IN_SCOPE = "NOT_IN_SCOPE"
"""Why a caller that sees some records only was told that a record does not exist: it may be somebody else's."""


def denial(plan: MethodPlan, work: CallContext, error: Exception) -> tuple[str, str] | None:
    """Return the reason and the permission to record of what a handler raised, or None when it is no refusal.

    What is out of scope does not exist for the caller, and its store cannot tell it from what never was. Both are on
    record for callers that see some records only, as one who tries many names looks for records of others.
    """
    if isinstance(error, PermissionDenied | OverLimit):
        return error.reason, error.metadata.get("permission", "")
    if isinstance(error, NotFound) and work.scope is not None and not work.scope.everything:
        return NOT_IN_SCOPE, plan.permission
    return None
