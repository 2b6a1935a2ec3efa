"""Files that are read again when they change, such as keys that are rotated while processes run."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Generic, TypeVar

from services.kit.errors import InvalidArgument
from services.kit.log import get_logger

T = TypeVar("T")
Signature = tuple[tuple[int, int, int] | None, ...]
_log = get_logger("access")


def signature(paths: Sequence[Path]) -> Signature:
    """Return what changes when a file is replaced or written; None stands for one that is not there."""
    found: list[tuple[int, int, int] | None] = []
    for path in paths:
        try:
            status = path.stat()
        except OSError:
            found.append(None)
        else:
            found.append((status.st_mtime_ns, status.st_ino, status.st_size))
    return tuple(found)


class Watched(Generic[T]):
    """Hold what files say; a change that cannot be used leaves it as it was."""

    def __init__(self, paths: Sequence[Path], load: Callable[[], T], what: str) -> None:
        """Read the files; raises what `load` raises, InvalidArgument for files that cannot be used.

        what: names them in the log.
        """
        self._paths = tuple(paths)
        self._load = load
        self._what = what
        self._lock = threading.Lock()
        self._signature = signature(self._paths)
        self.value = load()

    def refresh(self) -> bool:
        """Read the files again if they changed, and tell whether there is something new."""
        with self._lock:
            present = signature(self._paths)
            if present == self._signature:
                return False
            # Noted first: a broken file is complained of once, not at each look.
            self._signature = present
            try:
                self.value = self._load()
            except InvalidArgument as error:
                _log.error(f"{self._what} unusable, keeping what was read before", problem=error.message)
                return False
            return True
