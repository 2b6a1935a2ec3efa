"""CPU and memory of this process and of the database server's sessions."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path


def cpu_seconds(postmaster: int) -> float:
    """Return the CPU time of this process and of the server's living sessions so far.

    Sessions that end in between are lost to it, so measure on connections that stay.
    """
    ticks = 0
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = stat.read_text().rpartition(")")[2].split()
        except OSError:
            continue
        if int(fields[1]) == postmaster:
            ticks += int(fields[11]) + int(fields[12])
    me = os.times()
    return me.user + me.system + ticks / os.sysconf("SC_CLK_TCK")


@dataclass
class Peaks:
    """Hold the largest memory seen, in bytes: of this process, and of any one session of the server.

    Memory shared with other processes does not count, so the server's buffers are left out.
    """

    own: int = 0
    session: int = 0
    _stop: threading.Event = field(default_factory=threading.Event)

    def look(self, postmaster: int) -> None:
        """Look once."""
        self.own = max(self.own, _private(os.getpid()))
        children = Path(f"/proc/{postmaster}/task/{postmaster}/children").read_text()
        for child in map(int, children.split()):
            try:
                self.session = max(self.session, _private(child))
            except (OSError, IndexError):
                continue  # it ended


_PAGE = os.sysconf("SC_PAGE_SIZE")


def _private(pid: int) -> int:
    _, resident, shared, *_ = map(int, Path(f"/proc/{pid}/statm").read_text().split())
    return (resident - shared) * _PAGE


@contextmanager
def peaks(postmaster: int, seconds: float = 0.005) -> Iterator[Peaks]:
    """Watch memory within the block, so closely that a statement of some tens of milliseconds is seen."""
    found = Peaks()

    def watch() -> None:
        while not found._stop.wait(seconds):
            found.look(postmaster)

    thread = threading.Thread(target=watch, daemon=True)
    found.look(postmaster)
    thread.start()
    try:
        yield found
    finally:
        found._stop.set()
        thread.join()
        found.look(postmaster)
