"""Files that nobody else may read."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

from services.kit.errors import FailedPrecondition


def write_private(path: Path, text: str, what: str) -> None:
    """Write a text file, mode 0600, atomically; makes its folder.

    what: names the file in the error, FailedPrecondition (DATA_DIR_UNWRITABLE).
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        # mkstemp makes the file 0600, so its content is never readable by others, not even for a moment.
        descriptor, temporary = tempfile.mkstemp(dir=path.parent, prefix=path.name, suffix=".new")
    except OSError as error:
        raise FailedPrecondition(
            f"cannot write the {what} {path}: {error.strerror}", reason="DATA_DIR_UNWRITABLE"
        ) from error
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise
