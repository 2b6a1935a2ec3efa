"""The workers' side of the kit: event subscriptions, timers and long-running operations on nameko.

Nothing is imported until it is asked for: the launcher must patch the process before nameko or eventlet load.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from services.kit.bus.batch import EventBatch as EventBatch
    from services.kit.bus.operations import operation as operation
    from services.kit.bus.provider import RuntimeProvider as RuntimeProvider
    from services.kit.bus.subscriptions import subscribe as subscribe
    from services.kit.bus.timers import timer as timer
    from services.kit.operations.context import OperationContext as OperationContext

_HOMES = {
    "EventBatch": "services.kit.bus.batch",
    "OperationContext": "services.kit.operations.context",
    "RuntimeProvider": "services.kit.bus.provider",
    "operation": "services.kit.bus.operations",
    "subscribe": "services.kit.bus.subscriptions",
    "timer": "services.kit.bus.timers",
}

__all__ = ["EventBatch", "OperationContext", "RuntimeProvider", "operation", "subscribe", "timer"]


def __getattr__(name: str) -> object:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value: object = getattr(importlib.import_module(_HOMES[name]), name)
    return value
