"""A limit of CPU time for processes, as a container has one."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress

TICK = 0.005
PERIOD = 0.05


@contextmanager
def limited(pids: Sequence[int], share: float) -> Iterator[None]:
    """Let each process use a share of a core at the most, by stopping it whenever it has used more (Linux).

    share: more than 0. Time that was not used is kept for a twentieth of a second only, and what was used too much is
    waited for, as a control group does, which would need rights.
    """
    done = threading.Event()
    keeper = threading.Thread(target=_keep, args=(pids, share, done))
    keeper.start()
    try:
        yield
    finally:
        done.set()
        keeper.join()


def _keep(pids: Sequence[int], share: float, done: threading.Event) -> None:
    allowed = {pid: _used(pid) for pid in pids}
    stopped: set[int] = set()
    last = time.monotonic()
    try:
        while not done.wait(TICK):
            now = time.monotonic()
            for pid in pids:
                used = _used(pid)
                allowed[pid] = min(allowed[pid] + share * (now - last), used + share * PERIOD)
                if used > allowed[pid] and pid not in stopped:
                    os.kill(pid, signal.SIGSTOP)
                    stopped.add(pid)
                elif used <= allowed[pid] and pid in stopped:
                    os.kill(pid, signal.SIGCONT)
                    stopped.remove(pid)
            last = now
    finally:
        for pid in stopped:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGCONT)


def _used(pid: int) -> float:
    """Return the CPU seconds of a process, which the kernel counts by the nanosecond for a clock of its own."""
    return time.clock_gettime((~pid << 3) | 2)
