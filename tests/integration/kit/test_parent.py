"""A process ends itself when the supervisor that started it is gone."""

from __future__ import annotations

import pytest

from tests.support.programs import end, read_until, start_program

PARENT_WATCHER = """
import os, signal, sys
from services.kit.parent import watch_parent
def bye(*_):
    print("terminated", flush=True)
    if "stubborn" not in sys.argv:
        sys.exit(7)
signal.signal(signal.SIGTERM, bye)
if "eventlet" in sys.argv:
    import eventlet
    eventlet.monkey_patch(thread=False)
print("watching", watch_parent(grace_seconds=0.2), "RAPPORT_PARENT_FD" in os.environ, flush=True)
while True:
    signal.pause()
"""


@pytest.mark.parametrize(("mode", "status"), [("polite", 7), ("stubborn", 1), ("eventlet", 7)])
def test_a_child_ends_itself_when_its_parent_is_gone(
    mode: str, status: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    # stdin is a pipe from us, which serves as the supervisor's.
    monkeypatch.setenv("RAPPORT_PARENT_FD", "0")
    child = start_program(PARENT_WATCHER, mode)
    try:
        assert read_until(child, "watching")[-1] == "watching True False"
        assert child.stdin is not None
        child.stdin.close()
        read_until(child, "terminated")
        assert child.wait() == status
    finally:
        child.stdin = None
        end(child)


@pytest.mark.parametrize("value", ["", "nonsense", "999"])
def test_without_a_parent_nothing_is_watched(value: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAPPORT_PARENT_FD", value)
    child = start_program(PARENT_WATCHER)
    try:
        assert read_until(child, "watching")[-1] == "watching False False"
    finally:
        end(child)
