"""Forks processes from one that has imported everything they need: see `forking`, which talks to it.

Run as `python -m services.kit.supervise.fork_server SOCKET_FD PRELOAD MODULES PADDING`. PRELOAD is a function, as
`package.module:function`, which is called with MODULES, a list with commas. It must start no thread and open nothing.

The program of a process is a module's `main`. The process reads itself what it is told, so that this one never knows
the secrets of any, which the next to be forked would inherit.
"""

from __future__ import annotations

# Whatever `preload` patches is not used here.
import _socket
import array
import atexit
import contextlib
import ctypes
import gc
import importlib
import json
import posix
import sys
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import NoReturn

MESSAGE_BYTES = 1 << 17
_DESCRIPTORS = 3
Program = Callable[[], int]


def main() -> NoReturn:
    """Preload, then fork on each request until the other end closes; in a forked process, be that process."""
    control = _socket.socket(fileno=int(sys.argv[1]))
    module, _, function = sys.argv[2].partition(":")
    # What is imported stays: looking through it for garbage takes a sixth of the time meanwhile, and later would copy
    # each page into each process.
    gc.disable()
    getattr(importlib.import_module(module), function)(sys.argv[3].split(","))
    gc.freeze()
    gc.enable()
    program = _serve(control)
    _end(0 if program is None else _run(program))


def _serve(control: _socket.socket) -> Program | None:
    """Fork for each request until nobody is there to ask; returns the program, in a process that was forked."""
    try:
        control.send(b"ready")
        while control.recv(1, _socket.MSG_PEEK):
            program = _fork_one(control)
            if program is not None:
                return program
    except (BrokenPipeError, ConnectionResetError):
        pass
    return None


def _fork_one(control: _socket.socket) -> Program | None:
    """Fork for one request and answer with the number of the process; returns its program, in that process."""
    reader, writer = posix.pipe()
    between = _fork()
    if between == 0:
        # The one between ends at once, so that the new process becomes a child of the nearest reaper above:
        # the supervisor, which waits for it as for any other.
        if _fork():
            posix._exit(0)
        posix.close(reader)
        posix.setsid()
        return _receive(control, writer)
    posix.close(writer)
    number = b"".join(iter(lambda: posix.read(reader, 64), b""))
    posix.close(reader)
    posix.waitpid(between, 0)
    control.send(number or b"0")
    return None


def _fork() -> int:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # eventlet warns of forks, though none of its hubs runs here
        return posix.fork()


def _receive(control: _socket.socket, report: int) -> Program:
    """Become the process that the request describes, and return its program."""
    found = array.array("i")
    data, ancillary, _, _ = control.recvmsg(MESSAGE_BYTES, _socket.CMSG_SPACE(_DESCRIPTORS * found.itemsize))
    for level, kind, content in ancillary:
        if level == _socket.SOL_SOCKET and kind == _socket.SCM_RIGHTS:
            found.frombytes(content)
    output, go, *passed = found
    request = json.loads(data)
    posix.write(report, str(posix.getpid()).encode())
    posix.close(report)
    control.close()
    if posix.read(go, 1) != b"g":
        posix._exit(1)  # nobody knows us
    posix.close(go)
    nothing = posix.open("/dev/null", posix.O_RDONLY)
    for number, standard in ((nothing, 0), (output, 1), (output, 2)):
        posix.dup2(number, standard)
    posix.close(nothing)
    posix.close(output)
    import os

    os.environ.clear()
    os.environ.update(request["env"])
    if passed:
        os.environ.update([(request["variable"], str(passed[0]))])
    _reset_hub()
    words = request["argv"]
    _show(words)
    module = importlib.import_module(words[2])
    sys.argv = [str(module.__file__), *words[3:]]
    program: Program = module.main
    return program


def _reset_hub() -> None:
    """Forget eventlet's hub, should there be one: its descriptor of epoll is shared by all that are forked."""
    if (hubs := sys.modules.get("eventlet.hubs")) is not None:
        hubs.use_hub()


def _run(program: Program) -> int:
    """Run a program and return its exit status, as the interpreter does it."""
    try:
        return program()
    except SystemExit as end:
        if end.code is None or isinstance(end.code, int):
            return end.code or 0
        sys.stderr.write(f"{end.code}\n")
    except BaseException:
        sys.excepthook(*sys.exc_info())
    return 1


def _end(status: int) -> NoReturn:
    """End this process, all that it has to do at its end being done, but do not take the interpreter to pieces.

    That would copy each page that it shares with the others, only to throw it away: it takes longer than all else of
    an orderly end. The processes of `multiprocessing` end so, too.
    """
    import threading  # not before what `preload` patches

    threading._shutdown()  # type: ignore[attr-defined]
    atexit._run_exitfuncs()
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError, ValueError):
            stream.flush()
    posix._exit(status)


def _show(words: list[str]) -> None:
    """Let `ps` show this command line: it is written over that of the server, which is padded to have room."""
    fields = Path("/proc/self/stat").read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()
    start, end = int(fields[45]), int(fields[46])
    line = b"".join(word.encode() + b"\0" for word in words)[: end - start - 1]
    ctypes.memmove(start, line.ljust(end - start, b"\0"), end - start)


if __name__ == "__main__":
    main()
