"""The operating system's own sockets, for native threads of a process that eventlet has patched.

A green socket would start a hub of its own in each thread that waits for it.
"""

from __future__ import annotations

import importlib
import sys
import threading
from typing import Any

import amqp.transport

_lock = threading.Lock()


def unpatched(name: str) -> Any:
    """Return a module of the standard library as it was before eventlet patched it, if it did."""
    patcher = sys.modules.get("eventlet.patcher")
    if patcher is None or not patcher.is_monkey_patched("socket"):
        return importlib.import_module(name)
    return patcher.original(name)


def free_library() -> None:
    """Let the AMQP library use plain sockets."""
    with _lock:
        amqp.transport.socket = unpatched("socket")
        amqp.transport.ssl = unpatched("ssl")
