"""A folder in memory for files that no test run needs afterwards."""

from __future__ import annotations

import fcntl
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_MEMORY = Path("/dev/shm")
_PREFIX = f"rapport-tests-{os.geteuid()}"
_ENOUGH = 4 << 30


@contextmanager
def memory_folder() -> Iterator[Path | None]:
    """Give a new folder in memory that others can enter, deleted at the end; None where there is no room for it.

    Those of runs that were killed are deleted first.
    """
    if not _MEMORY.is_dir() or not os.access(_MEMORY, os.W_OK | os.X_OK):
        yield None
        return
    gate = _lock(_MEMORY / f"{_PREFIX}.lock", fcntl.LOCK_EX)
    try:
        _prune()
        folder = None
        if shutil.disk_usage(_MEMORY).free >= _ENOUGH:
            folder = Path(tempfile.mkdtemp(prefix=f"{_PREFIX}-", dir=_MEMORY))
            folder.chmod(0o711)
            used = _lock(folder / "lock", fcntl.LOCK_EX)
    finally:
        os.close(gate)
    if folder is None:
        yield None
        return
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        os.close(used)


def _prune() -> None:
    for folder in _MEMORY.glob(f"{_PREFIX}-*"):
        try:
            os.close(_lock(folder / "lock", fcntl.LOCK_EX | fcntl.LOCK_NB))
        except BlockingIOError:
            continue
        shutil.rmtree(folder, ignore_errors=True)


def _lock(path: Path, how: int) -> int:
    opened = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    try:
        fcntl.flock(opened, how)
    except BaseException:
        os.close(opened)
        raise
    return opened
