"""The operating system's own sockets, for native threads of a process that eventlet has patched.

A green socket would start a hub of its own in each thread that waits for it.
"""

from __future__ import annotations

import importlib
import importlib.util
import sys
import threading
from types import ModuleType
from typing import Any

import amqp.transport

_lock = threading.Lock()
_plain_tls: list[ModuleType] = []


def unpatched(name: str) -> Any:
    """Return a module of the standard library as it was before eventlet patched it, if it did."""
    patcher = sys.modules.get("eventlet.patcher")
    if patcher is None or not patcher.is_monkey_patched("socket"):
        return importlib.import_module(name)
    return patcher.original(name)


def free_library() -> None:
    """Let the AMQP library use plain sockets."""
    with _lock:
        plain = unpatched("socket")
        amqp.transport.socket = plain
        amqp.transport.ssl = _tls_over(plain)


def _tls_over(plain: ModuleType) -> ModuleType:
    """Return the module `ssl` whose sockets are these plain ones."""
    usual = importlib.import_module("ssl")
    sockets = sys.modules["socket"]
    if plain is sockets:
        return usual
    if not _plain_tls:
        # eventlet's copy is made while `socket` is patched: its TLS sockets would be green ones, which cannot be made.
        spec = importlib.util.find_spec("ssl")
        assert spec is not None
        assert spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        try:
            # It adds its constants to the module that goes by its name.
            sys.modules.update({"socket": plain, "ssl": module})
            spec.loader.exec_module(module)
        finally:
            sys.modules.update({"socket": sockets, "ssl": usual})
        _plain_tls.append(module)
    return _plain_tls[0]
