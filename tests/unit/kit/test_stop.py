"""A signal is never lost and never stops its own process for good, wherever it comes in between."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[3]

# Sends a signal at each bytecode of `wait` in turn, and a second one at each bytecode of the first one's handler.
PROGRAM = """
import signal, sys
from services.kit.stop import StopSignal

def interrupt(at):
    stop = StopSignal()
    seen = 0
    def trace(frame, event, argument):
        nonlocal seen
        frame.f_trace_opcodes = True
        if event == "opcode":
            seen += 1
            if seen in at:
                signal.raise_signal(signal.SIGTERM)
        return trace
    sys.settrace(trace)
    try:
        found = stop.wait(0.0)
    finally:
        sys.settrace(None)
    sent = any(number <= seen for number in at)
    assert stop.wait(0.0) == stop.asked() == sent, (at, seen)
    return seen

assert not StopSignal().wait(0.0)
opcodes = interrupt({10**9})
assert opcodes > 5
for first in range(1, opcodes + 1):
    for second in range(first + 1, first + 12):
        interrupt({first, second})
print("done", opcodes)
"""


def test_a_signal_may_come_at_any_moment():
    ran = subprocess.run(
        [sys.executable, "-c", PROGRAM], cwd=ROOT, capture_output=True, text=True, timeout=120, check=False
    )
    assert (ran.returncode, ran.stderr) == (0, "")
    assert ran.stdout.startswith("done ")


def test_it_ends_a_wait_and_calls_what_comes_then():
    program = (
        "import os, signal, threading; from services.kit.stop import StopSignal; called = []\n"
        "stop = StopSignal(lambda: called.append(1))\n"
        "threading.Timer(0.05, os.kill, (os.getpid(), signal.SIGINT)).start()\n"
        "assert stop.wait(60) and stop.asked() and called == [1]"
    )
    ran = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, timeout=50, check=False
    )
    assert (ran.returncode, ran.stderr) == (0, "")
