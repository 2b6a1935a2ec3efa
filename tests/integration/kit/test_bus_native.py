"""The way off the hub, in a process that eventlet has patched."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap

import pytest

from services.kit.bus.native import native
from tests.support.toy import ROOT

PRELUDE = """
import eventlet
eventlet.monkey_patch(thread=False)
import _imp, threading
from services.kit.bus.native import enable, native
enable(5)
"""


def run(code: str) -> str:
    """Run code in a patched process and return what it wrote."""
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", PRELUDE + textwrap.dedent(code)],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT), "EVENTLET_NO_GREENDNS": "yes"},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_hub_turns_while_a_call_blocks() -> None:
    out = run(
        """
        opened = threading.Event()
        blocked = eventlet.spawn(native, opened.wait, 30)
        eventlet.sleep(0.01)
        opened.set()  # Only a turning hub gets here before the wait is over.
        print(blocked.wait(), native(threading.get_ident) != threading.get_ident())
        """
    )
    assert out == "True True\n"


def test_a_call_never_runs_on_the_hub_though_something_is_being_imported() -> None:
    out = run(
        """
        hub = threading.get_ident()
        importing, done = threading.Event(), threading.Event()

        def hold():
            _imp.acquire_lock()
            importing.set()
            done.wait(30)
            _imp.release_lock()

        threading.Thread(target=hold).start()
        importing.wait()
        call = eventlet.spawn(native, threading.get_ident)
        eventlet.sleep(0.05)
        print(call.dead)
        done.set()
        print(call.wait() != hub)
        """
    )
    assert out == "False\nTrue\n"


def test_whatever_a_call_does_comes_back() -> None:
    out = run(
        """
        def fail(error):
            raise error

        for error in (ValueError("lasting"), SystemExit(3), KeyboardInterrupt()):
            try:
                native(fail, error)
            except (ValueError, RuntimeError) as caught:
                print(type(caught).__name__)
        print(native(lambda: (ValueError, ValueError("a result"), None))[1])
        print(native(native, threading.get_ident) == native(threading.get_ident) or "another thread")
        """
    )
    assert out.splitlines()[:4] == ["ValueError", "RuntimeError", "RuntimeError", "a result"]


def test_elsewhere_it_is_an_ordinary_call() -> None:
    assert native(divmod, 7, 2) == (3, 1)
    with pytest.raises(ZeroDivisionError):
        native(divmod, 7, 0)
