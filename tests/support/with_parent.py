"""Become a program that the kernel kills when whoever started it ends.

python with_parent.py PROGRAM [ARGUMENT …]

A `preexec_fn` would do the same in the copy of a process that has threads: there gRPC aborts now and then, and the
program is never begun.
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys

_PR_SET_PDEATHSIG = 1


def main() -> None:
    """Ask for the signal, which a program keeps when it is replaced, and be replaced."""
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    os.execv(sys.argv[1], sys.argv[1:])


if __name__ == "__main__":
    main()
