"""A program that a test's fork server knows: it does as its first argument says."""

from __future__ import annotations

import atexit
import json
import os
import signal
import sys
import threading

loaded_by = os.getpid()
"""The process that imported this module."""


def preload(modules: list[str]) -> None:
    """Import nothing more: this module is here."""


def refuse(modules: list[str]) -> None:
    """Note that it was tried, and fail as a preload whose library is missing."""
    with open(os.environ["TRIES"], "a") as tries:
        tries.write("tried\n")
    raise ModuleNotFoundError(modules[0])


def main() -> int:
    """Tell what the process is; end with a status, read its descriptor, or wait for a signal."""
    what, *rest = sys.argv[1:]
    told = {
        "pid": os.getpid(),
        "parent": os.getppid(),
        "session": os.getsid(0),
        "loaded_by": loaded_by,
        "environment": dict(os.environ),
        "input": sys.stdin.read(),
        "descriptors": len(os.listdir("/proc/self/fd")) - 1,
    }
    sys.stdout.write(json.dumps(told) + "\n")
    sys.stdout.flush()
    if what == "end":
        return int(rest[0])
    if what == "read":
        sys.stderr.write(os.read(int(os.environ["PASSED"]), 100).decode() + "\n")
    if what == "wait":
        signal.pause()
    if what == "leave":
        # Nothing of this is there yet when the program returns.
        atexit.register(lambda: os.write(1, b"at the exit\n"))
        threading.Timer(0.05, lambda: os.write(1, b"by a thread\n")).start()
    if what == "refuse":
        sys.exit("not like this")
    if what == "fail":
        raise LookupError("nothing there")
    return 0


if __name__ == "__main__":
    sys.exit(main())
