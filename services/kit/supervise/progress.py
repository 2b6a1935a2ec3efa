"""Tells a slow process from one that no longer does anything."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from pathlib import Path

import psutil


class Progress:
    """Watches the work of a process and its children: CPU time, bytes moved, files grown.

    A fixed limit on a start breaks slow machines; a process that works is waited for however long it takes,
    one that did nothing at all for `stall_seconds` is given up.
    """

    def __init__(
        self, pid: int, files: Callable[[], Sequence[Path]] = tuple, *, stall_seconds: float = 90.0
    ) -> None:
        self._pid = pid
        self._files = files
        self._stall_seconds = stall_seconds
        self._last = self._measure()
        self._changed = time.monotonic()
        self._looked = self._changed

    def stalled(self) -> bool:
        """Say whether nothing happened for the limit. Measures once a second, however often it is asked."""
        now = time.monotonic()
        if now - self._looked < 1.0:
            return False
        self._looked = now
        measured = self._measure()
        if measured != self._last:
            self._last, self._changed = measured, now
        return now - self._changed >= self._stall_seconds

    def _measure(self) -> tuple[float, ...]:
        sizes = 0.0
        for path in self._files():
            try:
                sizes += path.stat().st_size
            except OSError:
                continue
        return (*activity(self._pid), sizes)


def activity(pid: int) -> tuple[float, float]:
    """Return the seconds of CPU time that a process and its children have used, and the bytes moved."""
    cpu = 0.0
    moved = 0.0
    for process in _tree(pid):
        try:
            times = process.cpu_times()
            cpu += times.user + times.system
            counters = process.io_counters() if hasattr(process, "io_counters") else None
            if counters is not None:
                moved += counters.read_bytes + counters.write_bytes
        except psutil.Error:
            continue
    return cpu, moved


def _tree(pid: int) -> list[psutil.Process]:
    try:
        process = psutil.Process(pid)
        return [process, *process.children(recursive=True)]
    except psutil.Error:
        return []
