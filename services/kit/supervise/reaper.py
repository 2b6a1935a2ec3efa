"""Stops processes whose keeper was killed.

The keeper starts this file as a small process of its own, holds one end of a pipe and names over it what it
has started. When the keeper ends without saying so, even by SIGKILL, the pipe closes and everything named is
stopped: first with its own signal, and after its grace with a harder one. It inherits the keeper's lock, so
that a successor waits until the clean-up is over.

Only the standard library is imported: the file is run by path in an isolated interpreter, which starts in 20
ms.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any


class Reaper:
    """The keeper's end: starts the reaper process and tells it what to watch. Safe for several threads."""

    def __init__(self, keep_fds: Sequence[int] = ()) -> None:
        """Start the reaper process; it inherits `keep_fds` (descriptors of locks) until it ends."""
        self._lock = threading.Lock()
        self._process = subprocess.Popen(
            [sys.executable, "-I", "-S", str(Path(__file__).resolve())],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            pass_fds=tuple(keep_fds),
            start_new_session=True,
            cwd="/",
        )

    @property
    def pid(self) -> int:
        """The number of the reaper process."""
        return self._process.pid

    def watch(
        self,
        pid: int,
        *,
        stop: int = signal.SIGTERM,
        grace: float = 10.0,
        last: int = signal.SIGKILL,
        group: bool = True,
    ) -> None:
        """Name a process to stop when the keeper is gone.

        `stop` is sent to it at once, `last` after `grace` seconds and SIGKILL 5 s later. With `group` those
        two go to its process group, and what outlives it there is killed.
        """
        self._say(
            {"op": "watch", "pid": pid, "start": process_start(pid), "stop": int(stop), "grace": grace,
             "last": int(last), "group": group}
        )  # fmt: skip

    def forget(self, pid: int) -> None:
        """Take a process off the list, because it has ended."""
        self._say({"op": "forget", "pid": pid})

    def close(self) -> None:
        """End the reaper process without stopping anything, and collect it."""
        self._say({"op": "done"})
        if self._process.stdin is not None:
            with contextlib.suppress(OSError):
                self._process.stdin.close()
        self._process.wait()

    def _say(self, message: dict[str, Any]) -> None:
        with self._lock:
            stream = self._process.stdin
            if stream is None or stream.closed:
                return
            try:
                stream.write(json.dumps(message).encode() + b"\n")
                stream.flush()
            except OSError:
                # The reaper itself was killed. Its keeper still stops its children; only the safety net is
                # gone.
                return


def process_start(pid: int) -> str | None:
    """Return what tells this process from a later one of its number; None where the system hides it."""
    fields = _stat(pid)
    return fields[19] if fields else None


def _stat(pid: int) -> list[str] | None:
    """Return the fields of /proc/<pid>/stat that follow the name, beginning with the state."""
    try:
        return (
            Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()
        )
    except OSError:
        return None


def _leader_runs(entry: dict[str, Any]) -> bool:
    pid = int(entry["pid"])
    if sys.platform == "linux":
        fields = _stat(pid)
        if fields is None or (entry["start"] is not None and fields[19] != entry["start"]):
            return False
        return fields[0] not in "ZX"  # nobody may be there to collect a zombie
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass
    return True


def _group_runs(group: int) -> bool:
    """Say whether a living process belongs to a group, whether or not its leader is there."""
    if sys.platform != "linux":
        try:
            os.killpg(group, 0)
        except ProcessLookupError:
            return False
        except PermissionError:
            pass
        return True
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit():
            fields = _stat(int(folder.name))
            if fields and fields[2] == str(group) and fields[0] not in "ZX":
                return True
    return False


def _runs(entry: dict[str, Any]) -> bool:
    return _leader_runs(entry) or (bool(entry["group"]) and _group_runs(int(entry["pid"])))


def _send(entry: dict[str, Any], number: int, *, group: bool) -> None:
    try:
        if group and entry["group"]:
            os.killpg(int(entry["pid"]), number)
        elif _leader_runs(entry):
            os.kill(int(entry["pid"]), number)
    except (ProcessLookupError, PermissionError):
        pass


def _stop_all(entries: list[dict[str, Any]]) -> None:
    begun = time.monotonic()
    hardened: set[int] = set()
    for entry in reversed(entries):
        _send(entry, int(entry["stop"]), group=False)
    while living := [entry for entry in entries if _runs(entry)]:
        elapsed = time.monotonic() - begun
        for entry in living:
            pid, grace = int(entry["pid"]), float(entry["grace"])
            if elapsed >= grace + 5.0 or not _leader_runs(entry):
                _send(
                    entry, signal.SIGKILL, group=True
                )  # also what a leader that has ended left in its group
            elif elapsed >= grace and pid not in hardened:
                hardened.add(pid)
                _send(entry, int(entry["last"]), group=True)
        if elapsed > max(float(entry["grace"]) for entry in living) + 15.0:
            return  # not even SIGKILL ends it, a process stuck in the kernel: holding the lock would not help
        time.sleep(0.05)


def main() -> None:
    """Read the keeper's messages until the pipe closes, then stop what is left."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT):
        signal.signal(number, signal.SIG_IGN)
    watched: dict[int, dict[str, Any]] = {}
    for line in sys.stdin.buffer:
        if not line.endswith(b"\n"):
            break
        message = json.loads(line)
        if message["op"] == "done":
            return
        if message["op"] == "watch":
            watched[int(message["pid"])] = message
        else:
            watched.pop(int(message["pid"]), None)
    _stop_all(list(watched.values()))


if __name__ == "__main__":
    main()
