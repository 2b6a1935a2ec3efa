"""Write small plugins, good and bad, for the tests of host and manager."""

from __future__ import annotations

import re
import sys
from collections.abc import Mapping
from pathlib import Path
from textwrap import dedent
from typing import Any
from uuid import uuid4

HEADER = """\
import os, sys, time
from datetime import timedelta
from rapport_sdk import *
"""
SQL_NAMES = ("case", "func", "literal", "literal_column", "null", "select", "text")


def write_plugin(folder: Path, source: str) -> str:
    """Write a module with a name of its own and return the name."""
    module = f"plugin_{uuid4().hex}"
    # SQLAlchemy takes as long to import as all else of a host: only for those that name something of it.
    used = [name for name in SQL_NAMES if re.search(rf"\b{name}\b", source)]
    header = HEADER + (f"from sqlalchemy import {', '.join(used)}\n" if used else "")
    (folder / f"{module}.py").write_text(header + dedent(source))
    return module


def load_source(folder: Path, source: str) -> Any:
    """Write a module and import it here."""
    module = write_plugin(folder, source)
    sys.path.insert(0, str(folder))
    try:
        return __import__(module)
    finally:
        sys.path.remove(str(folder))


def rule(name: str, body: str = "", **fields: str) -> str:
    """Return the source of a plugin with one rule whose fields are Python expressions."""
    given: Mapping[str, str] = {"name": repr(name), "returns": "'int'", "doc": "'test'", **fields}
    arguments = ", ".join(f"{field}={value}" for field, value in given.items())
    return f"{dedent(body)}\n@hookimpl\ndef rapport_segment_rules():\n    return [SegmentRule({arguments})]\n"
