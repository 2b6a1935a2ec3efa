"""Notices processes that run but no longer answer."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from services.kit.supervise.child import Child, State

LOOK_SECONDS = 10.0
"""The pause between two looks. Looks are counted, not seconds: a machine that slept has missed none."""
IDLE_LOOKS = 3
"""Looks without an answer after which a process that does nothing at all is given up: about half a minute."""
SILENT_LOOKS = 30
"""Looks without an answer after which it is given up though it works: about five minutes."""


class Watch:
    """Counts how often each process did not answer in a row.

    One that answers late because the machine is busy still works, and is left alone much longer than one that was
    stopped or waits for a lock for ever.
    """

    def __init__(self, activity: Callable[[int], object]) -> None:
        """activity: returns, for a process number, something that differs as soon as the process did anything."""
        self._activity = activity
        self._silent: dict[int, int] = {}
        self._idle: dict[int, int] = {}
        self._last: dict[int, object] = {}

    def look(self, children: Iterable[Child]) -> None:
        """Ask each process that is ready whether it answers; kill those given up, which are then started again."""
        seen = set()
        for child in children:
            pid = child.pid
            if child.spec.alive is None or pid is None or child.state is not State.READY:
                continue
            if not _answers(child.spec.alive):
                seen.add(pid)
                reason = self._note(pid)
                if reason:
                    child.give_up(pid, reason)
        for pid in [pid for pid in self._silent if pid not in seen]:
            for known in (self._silent, self._idle, self._last):
                known.pop(pid, None)

    def _note(self, pid: int) -> str:
        """Count a missing answer; return why the process is given up, or nothing."""
        doing = self._activity(pid)
        self._silent[pid] = self._silent.get(pid, 0) + 1
        self._idle[pid] = self._idle.get(pid, 0) + 1 if self._last.get(pid, doing) == doing else 1
        self._last[pid] = doing
        if self._idle[pid] >= IDLE_LOOKS:
            return f"did not answer {self._silent[pid]} times in a row and did nothing meanwhile"
        if self._silent[pid] >= SILENT_LOOKS:
            return f"did not answer {self._silent[pid]} times in a row"
        return ""


def _answers(probe: Callable[[], bool]) -> bool:
    try:
        return probe()
    except Exception:  # a probe may fail in any way
        return False
