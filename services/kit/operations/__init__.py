"""Long-running operations (AIP-151) kept in a table, so that they survive the processes that do them.

An API handler calls `create` in its transaction; a worker's `@operation` method does the work;
`OperationService` tells callers how far it is.
"""

from __future__ import annotations

from services.kit.operations.context import (
    OperationContext,
    OperationLost,
    OperationPaused,
    OperationWaits,
)
from services.kit.operations.service import OperationService
from services.kit.operations.store import any_pending, create, load

__all__ = [
    "OperationContext",
    "OperationLost",
    "OperationPaused",
    "OperationService",
    "OperationWaits",
    "any_pending",
    "create",
    "load",
]
