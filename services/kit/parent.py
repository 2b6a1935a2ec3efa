"""Ends a process when the supervisor that started it is gone."""

from __future__ import annotations

import io
import os
import signal
import threading

PARENT_FD_VARIABLE = "RAPPORT_PARENT_FD"


def watch_parent(grace_seconds: float = 10.0) -> bool:
    """Watch the pipe from the supervisor, and say whether there is one (there is none when started by hand).

    When it closes, even because the supervisor got SIGKILL, this process sends itself SIGTERM, and after the
    grace ends at once with status 1. Call it early in `main`. It works beside eventlet's patches, provided
    that threads are real.
    """
    value = os.environ.pop(PARENT_FD_VARIABLE, "")
    if not value:
        return False
    try:
        stream = io.FileIO(int(value), "rb")
    except (ValueError, OSError):
        return False
    os.set_inheritable(stream.fileno(), False)  # children of ours would take it for a pipe of their own
    threading.Thread(target=_watch, args=(stream, grace_seconds), name="parent-watch", daemon=True).start()
    return True


def _watch(stream: io.FileIO, grace_seconds: float) -> None:
    # FileIO and Event rather than os.read and time.sleep, because eventlet replaces those two.
    try:
        while stream.read(1):
            pass
    except OSError:
        pass
    os.kill(os.getpid(), signal.SIGTERM)
    threading.Event().wait(grace_seconds)
    os._exit(1)
