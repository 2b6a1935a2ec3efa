"""Waiting for something that another process does."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable

import psutil

PATIENCE_SECONDS = 120.0


def until(condition: Callable[[], object], what: str, *, timeout: float = PATIENCE_SECONDS) -> None:
    """Return soon after the condition holds; fail the test when it never does. For what sends no notice."""
    deadline = time.monotonic() + timeout
    pause = threading.Event()
    began = time.thread_time()
    while not condition():
        assert time.monotonic() < deadline, f"waited {timeout:g} s in vain: {what}"
        # A question that is dear is asked less often, for the machine has others to serve.
        pause.wait(min(max(0.01, 10 * (time.thread_time() - began)), 0.5))
        began = time.thread_time()


def all_end(processes: Iterable[psutil.Process]) -> None:
    """Return when processes run no more, even where the system's first process has not cleared them away yet."""
    left = list(processes)
    until(lambda: all(_has_ended(process) for process in left), "every process has ended")


def _has_ended(process: psutil.Process) -> bool:
    try:
        return not process.is_running() or process.status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True
