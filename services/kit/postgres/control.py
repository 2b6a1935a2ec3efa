"""Reads what a running server says about itself, and finds what a killed one left behind."""

from __future__ import annotations

import os
import signal
import time
from dataclasses import dataclass
from pathlib import Path

import psutil

from services.kit.postgres.home import Home
from services.kit.supervise.identity import is_alive


@dataclass(frozen=True)
class PidFile:
    """The content of postmaster.pid; `status` is `starting`, `ready`, `stopping`, `standby` or empty."""

    pid: int
    port: int | None
    socket_folder: str
    listen: str
    status: str


def read_pid_file(data: Path) -> PidFile | None:
    """Read postmaster.pid of a data folder; None when there is none, or one without a process number."""
    try:
        lines = (data / "postmaster.pid").read_text(encoding="utf-8", errors="replace").splitlines()
        pid = abs(int(lines[0]))
    except (OSError, ValueError, IndexError):
        return None
    lines += [""] * 8
    port = int(lines[3]) if lines[3].strip().isdigit() else None
    return PidFile(pid, port, lines[4].strip(), lines[5].strip(), lines[7].strip())


def running_postmaster(data: Path) -> PidFile | None:
    """Return the pid file of the server that runs on a data folder, None when none does.

    The number in the file is not enough: after a SIGKILL or a reboot it may be a zombie's or somebody else's,
    which PostgreSQL itself takes for a running server.
    """
    info = read_pid_file(data)
    if info is None or not is_alive(info.pid):
        return None
    return info if _serves(info.pid, data) else None


def same_command(home: Home, command: list[str]) -> bool:
    """Say whether the running server was started with this command, which it notes in postmaster.opts."""
    try:
        noted = (home.data / "postmaster.opts").read_text(encoding="utf-8").strip()
    except OSError:
        return False
    return noted == " ".join([command[0], *(f'"{part}"' for part in command[1:])])


def orphans(data: Path) -> list[psutil.Process]:
    """Return the living server processes whose working folder is this data folder, postmaster and all."""
    found = []
    for process in psutil.process_iter():
        if _serves(process.pid, data) and is_alive(process.pid):
            found.append(process)
    return found


def clear_leftovers(home: Home, *, patience: float = 2.0) -> None:
    """Make a home startable after its postmaster was killed.

    Back-ends notice by themselves that the postmaster is gone, unless they are busy; while one lives the new
    server refuses the old shared memory. They get `patience` seconds, then SIGKILL: recovery makes good what
    they did not commit. The stale lock files go last: where nobody collects a dead postmaster its number
    looks alive to PostgreSQL. Only call this with the lock held and no postmaster running.
    """
    deadline = time.monotonic() + patience
    while left := orphans(home.data):
        if time.monotonic() > deadline:
            for process in left:
                try:
                    process.kill()
                except psutil.Error:
                    continue
            psutil.wait_procs(left, timeout=10)
            break
        time.sleep(0.05)
    for path in (home.data / "postmaster.pid", *home.sockets.glob(".s.PGSQL.*")):
        path.unlink(missing_ok=True)


def kill_server(home: Home, pid: int) -> None:
    """End a server that no longer answers, whatever it does; recovery follows at the next start."""
    for number, patience in ((signal.SIGQUIT, 5.0), (signal.SIGKILL, 10.0)):
        if not is_alive(pid):
            break
        try:
            os.kill(pid, number)
            if number == signal.SIGQUIT:
                os.kill(pid, signal.SIGCONT)  # a stopped process would not see it
        except ProcessLookupError:
            break
        deadline = time.monotonic() + patience
        while is_alive(pid) and time.monotonic() < deadline:
            time.sleep(0.05)
    clear_leftovers(home)


def _serves(pid: int, data: Path) -> bool:
    """Say whether a process is a server process of this data folder, which is its working folder."""
    try:
        process = psutil.Process(pid)
        if "postgres" not in process.name():
            return False
        return os.path.realpath(process.cwd()) == os.path.realpath(data)
    except (psutil.Error, OSError):
        # Not ours to look at: it belongs to another user, and our server never does.
        return False
