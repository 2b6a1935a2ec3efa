"""Runs small Python programs as processes of their own."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[2]


def start_program(text: str, *arguments: str) -> subprocess.Popen[str]:
    """Start a program that can import the repository; its output is read line by line from `stdout`."""
    path = os.pathsep.join([str(REPOSITORY), *filter(None, sys.path)])
    environment = {**os.environ, "PYTHONPATH": path, "PYTHONUNBUFFERED": "1"}
    return subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(text), *arguments],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env=environment,
        start_new_session=True,
    )


def read_until(process: subprocess.Popen[str], word: str) -> list[str]:
    """Read lines up to the first that begins with the word; fail with what was said when none does."""
    said: list[str] = []
    assert process.stdout is not None
    for line in process.stdout:
        said.append(line.rstrip("\n"))
        if line.startswith(word):
            return said
    raise AssertionError(f"{word!r} never came:\n" + "\n".join(said))


def end(process: subprocess.Popen[str]) -> None:
    """Kill and collect a process, whatever its state."""
    process.kill()
    process.communicate()
