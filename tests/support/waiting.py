"""Waiting for something that another process does."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

PATIENCE_SECONDS = 120.0


def until(condition: Callable[[], object], what: str, *, timeout: float = PATIENCE_SECONDS) -> None:
    """Return as soon as the condition holds; fail the test when it never does. For what sends no notice."""
    deadline = time.monotonic() + timeout
    pause = threading.Event()
    while not condition():
        assert time.monotonic() < deadline, f"waited {timeout:g} s in vain: {what}"
        pause.wait(0.01)
