"""Becomes another user, and then another program: `become.py UID GID PROGRAM [ARGUMENT…]`, as root.

A file of its own, run by path in an isolated interpreter: had the keeper its child become the user between fork and
exec, libraries with threads (gRPC) would wake up in that child and now and then spoil it.
"""

from __future__ import annotations

import os
import sys


def main() -> None:
    """Run; status 127 when the program cannot be run."""
    uid, gid, program, *arguments = sys.argv[1:]
    os.setgroups([])
    os.setgid(int(gid))
    os.setuid(int(uid))
    try:
        os.execv(program, [program, *arguments])
    except OSError as error:
        sys.stderr.write(f"{program}: {error.strerror}\n")
        sys.exit(127)


if __name__ == "__main__":
    main()
