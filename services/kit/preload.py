"""What a fork server imports before processes are forked from it."""

from __future__ import annotations

import importlib
from collections.abc import Iterable

# Found by name only while a process starts.
_LATE = ("sqlalchemy.dialects.postgresql.psycopg", "encodings.idna")


def load(modules: Iterable[str]) -> None:
    """Import modules, and what their processes would import at their start."""
    for module in (*_LATE, *modules):
        importlib.import_module(module)
