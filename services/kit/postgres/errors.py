"""Errors of the embedded server and of provisioning."""

from __future__ import annotations

import errno
import os
from pathlib import Path

NO_SPACE = "No space left on device"


class PostgresError(Exception):
    """Says what about the database server or a database failed, where, and what to do about it."""


def folder_error(path: Path, error: OSError) -> PostgresError:
    """Explain a failure to write below a folder: no permission, no space, read-only, or what else it was."""
    if error.errno in (errno.EACCES, errno.EPERM):
        return PostgresError(
            f"cannot write in the data folder {path}: permission denied for user {os.geteuid()}; "
            "make it yours or choose another folder (RAPPORT_DATA_DIR)"
        )
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return disk_full(path)
    if error.errno == errno.EROFS:
        return PostgresError(
            f"the data folder {path} is on a read-only file system; choose another folder (RAPPORT_DATA_DIR)"
        )
    return PostgresError(f"cannot use the data folder {path}: {error.strerror or error}")


def disk_full(path: Path) -> PostgresError:
    """Explain that the disk below a folder is full."""
    return PostgresError(
        f"the disk that holds {path} is full; free some space or choose a data folder on another disk "
        "(RAPPORT_DATA_DIR), then start again. Committed data is safe"
    )
