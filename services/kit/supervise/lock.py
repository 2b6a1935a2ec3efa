"""A lock file that names its holder and that the system frees when the holder dies."""

from __future__ import annotations

import contextlib
import fcntl
import os
from pathlib import Path

from services.kit.supervise.identity import is_alive


class FileLock:
    """An exclusive `flock` on a file that holds the number of the process that took it.

    The lock belongs to the open file, so a child that inherits `fileno()` keeps it after its parent was
    killed. The file itself is never removed: removing it would let two processes lock two different files.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._fd: int | None = None

    def acquire(self) -> bool:
        """Take the lock without waiting; False when another has it. OSError when it cannot be opened."""
        if self._fd is not None:
            return True
        fd = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(fd)
            return False
        except BaseException:
            os.close(fd)
            raise
        # The name of the holder only serves messages: a full disk must not keep anyone from the lock.
        with contextlib.suppress(OSError):
            os.ftruncate(fd, 0)
            os.pwrite(fd, f"{os.getpid()}\n".encode(), 0)
        self._fd = fd
        return True

    def release(self) -> None:
        """Give the lock back; harmless when it is not held."""
        if self._fd is not None:
            fd, self._fd = self._fd, None
            with contextlib.suppress(OSError):
                os.ftruncate(fd, 0)
            os.close(fd)

    @property
    def held(self) -> bool:
        """Say whether this object has the lock."""
        return self._fd is not None

    def fileno(self) -> int:
        """Return the descriptor to hand to a child. ValueError when the lock is not held."""
        if self._fd is None:
            raise ValueError(f"{self.path} is not locked by this object")
        return self._fd

    def holder(self) -> int | None:
        """Return the number of the living process that has the lock, None when it is gone or unknown."""
        try:
            pid = int(self.path.read_text(encoding="ascii").strip() or "0")
        except (OSError, ValueError):
            return None
        return pid if pid > 0 and is_alive(pid) else None
