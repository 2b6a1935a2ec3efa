"""Runs the command line inside the test."""

from __future__ import annotations

import os
from collections.abc import Mapping
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass
from io import StringIO
from unittest.mock import patch

from services.cli.app import main
from services.cli.console import console, errors


@dataclass(frozen=True)
class Ran:
    """What a command said and how it ended."""

    code: int
    out: str
    err: str


def run_cli(*arguments: str, environment: Mapping[str, str] | None = None) -> Ran:
    """Run a command with these RAPPORT_ variables and no others; whatever it raises beside its exit comes through."""
    clean = {key: value for key, value in os.environ.items() if not key.startswith("RAPPORT_")}
    out, err = StringIO(), StringIO()
    console.width = errors.width = 200
    with (
        patch.dict(os.environ, {**clean, **(environment or {})}, clear=True),
        redirect_stdout(out),
        redirect_stderr(err),
    ):
        try:
            main(list(arguments))
            code = 0
        except SystemExit as end:
            code = end.code if isinstance(end.code, int) else 0 if end.code is None else 1
    return Ran(code, out.getvalue(), err.getvalue())
