"""Bounds that a child process puts on itself, because what it runs may eat or outlive everything."""

from __future__ import annotations

import contextlib
import os
import resource
import threading


def end_with_parent(alive: int) -> None:
    """Leave at once when the parent's end of the pipe closes, as it does even when the parent is killed."""

    def watch() -> None:
        with contextlib.suppress(OSError):
            os.read(alive, 1)
        os._exit(0)

    threading.Thread(target=watch, daemon=True, name="parent-watch").start()


def limit_memory(memory_bytes: int, *, data_bytes: int = 0) -> None:
    """Bound the address space of this process, and, unless 0, what of it can be written; no core is dumped."""
    _lower(resource.RLIMIT_AS, memory_bytes)
    if data_bytes:
        _lower(resource.RLIMIT_DATA, data_bytes)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def allow_cpu(seconds: int) -> None:
    """Let this process use so many more seconds of CPU; the kernel kills it when it uses more."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    _lower(resource.RLIMIT_CPU, int(used.ru_utime + used.ru_stime) + seconds + 1)


def _lower(kind: int, wanted: int) -> None:
    _, hard = resource.getrlimit(kind)
    resource.setrlimit(kind, (wanted if hard == resource.RLIM_INFINITY else min(wanted, hard), hard))
