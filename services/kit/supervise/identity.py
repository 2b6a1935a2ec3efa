"""Tells one process from another that got the same number later."""

from __future__ import annotations

import psutil


def is_alive(pid: int, started: float | None = None) -> bool:
    """Say whether a process runs. A zombie does not: it only waits to be collected.

    `started` is the creation time as `start_time` gave it; another one means that the number was used again.
    """
    try:
        process = psutil.Process(pid)
        if process.status() in (psutil.STATUS_ZOMBIE, psutil.STATUS_DEAD):
            return False
        return started is None or abs(process.create_time() - started) < 0.5
    except psutil.NoSuchProcess:
        return False
    except psutil.AccessDenied:
        return True


def start_time(pid: int) -> float | None:
    """Return the creation time of a process, in seconds since the epoch; None when there is none."""
    try:
        return float(psutil.Process(pid).create_time())
    except psutil.Error:
        return None
