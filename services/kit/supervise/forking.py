"""Starts Python processes as copies of one that has imported everything already: quicker, and they share memory."""

from __future__ import annotations

import array
import contextlib
import ctypes
import io
import json
import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

from services.kit.supervise.fork_server import MESSAGE_BYTES

_PR_SET_CHILD_SUBREAPER, _PR_GET_CHILD_SUBREAPER = 36, 37
_ANSWER_SECONDS = 30.0
_PADDING = "." * 400
_adopting = threading.Lock()


class ForkError(Exception):
    """Say why no process was forked; it may be started in the ordinary way."""


class Forked:
    """A process that was forked for us. It is our child: wait for it as for any other."""

    def __init__(self, pid: int, stdout: io.FileIO | None) -> None:
        """Take its number, and what its output is read from, unless that goes elsewhere."""
        self.pid = pid
        self.returncode: int | None = None
        self.stdout = stdout

    def poll(self) -> int | None:
        """Collect it if it has ended; returns its status, negative for a signal, None while it runs."""
        return self._collect(os.WNOHANG)

    def wait(self) -> int:
        """Wait until it ends, and collect it; returns its status, negative for a signal."""
        code = self._collect(0)
        return 0 if code is None else code

    def send_signal(self, number: int) -> None:
        """Send it a signal, unless it has been collected."""
        if self.returncode is None:
            os.kill(self.pid, number)

    def _collect(self, options: int) -> int | None:
        if self.returncode is None:
            pid, status = os.waitpid(self.pid, options)
            if pid:
                self.returncode = os.waitstatus_to_exitcode(status)
        return self.returncode


class ForkServer:
    """Keeps the process that is copied; it is started when the first copy is asked for. Safe for several threads."""

    def __init__(
        self,
        preload: str,
        modules: Sequence[str],
        *,
        env: Mapping[str, str] | None = None,
        cwd: Path | None = None,
    ) -> None:
        """Describe it.

        preload: the function that imports, as `package.module:function`; it is called with `modules` and must
        start no thread and open nothing. env: added to our environment for the server; what is forked gets its own.
        cwd: where it works, and all that it forks; our own folder if None.
        """
        self._command = [preload, ",".join(modules), _PADDING]
        self._env = dict(env or {})
        self.cwd = cwd
        self._lock = threading.Lock()
        self._process: subprocess.Popen[bytes] | None = None
        self._control: socket.socket | None = None
        self._ready = False
        self._broken = False
        self._closed = False

    @property
    def pid(self) -> int | None:
        """The number of the server, None while it does not run."""
        with self._lock:
            return self._process.pid if self._process is not None else None

    def await_ready(self, interrupted: Callable[[], bool], seconds: float = 120.0) -> None:
        """Start it unless it runs, and wait until it has imported everything, or one says that we are interrupted.

        One that could not import is not tried again.
        """
        deadline = time.monotonic() + seconds
        while not interrupted() and time.monotonic() < deadline:
            with self._lock:
                if self._closed or self._broken or self._ready or not self._look(0.05):
                    return

    def fork(
        self,
        argv: Sequence[str],
        env: Mapping[str, str],
        *,
        output: int | None = None,
        descriptor: int | None = None,
        variable: str = "",
    ) -> Forked:
        """Start `python -m module …` in a session of its own, with an empty input; the module has a `main`.

        env: its whole environment. output: the descriptor that it writes to, else a pipe. descriptor: one more that
        it gets, under a number that `variable` tells it. Raises ForkError when the server is not ready or fails.
        """
        request = {"argv": list(argv), "env": dict(env), "variable": variable}
        data = json.dumps(request).encode()
        if len(data) > MESSAGE_BYTES:
            raise ForkError(f"the environment has {len(data)} bytes; {MESSAGE_BYTES} are the most")
        with self._lock, contextlib.ExitStack() as files:
            if self._closed or not self._ready or self._control is None:
                raise ForkError("the fork server is not ready")
            reader = None
            if output is None:
                reader, writer = (
                    io.FileIO(end, mode) for end, mode in zip(os.pipe(), ("rb", "wb"), strict=True)
                )
                output = files.enter_context(writer).fileno()
            waiting, go = (
                files.enter_context(io.FileIO(end, mode))
                for end, mode in zip(os.pipe(), ("rb", "wb"), strict=True)
            )
            passed = [output, waiting.fileno(), *([] if descriptor is None else [descriptor])]
            try:
                with _adopting_orphans():
                    pid = _ask(self._control, data, passed)
                go.write(b"g")
            except (OSError, ValueError) as error:
                if reader is not None:
                    reader.close()
                self._end()
                raise ForkError(f"the fork server failed: {error}") from error
            return Forked(pid, reader)

    def close(self) -> None:
        """End the server for good; what was forked goes on."""
        with self._lock:
            self._closed = True
            self._end()

    def _look(self, seconds: float) -> bool:
        """Start it if necessary and wait so long for it; False when it cannot be had."""
        try:
            if self._control is None:
                self._start()
            assert self._control is not None
            self._control.settimeout(seconds)
            self._ready = self._control.recv(16) == b"ready"
            self._broken = not self._ready
        except TimeoutError:
            return True
        except OSError:
            self._broken = True
        if self._broken:
            self._end()
        return not self._broken

    def _start(self) -> None:
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._control = ours
        with theirs:
            self._process = subprocess.Popen(
                [sys.executable, "-m", f"{__package__}.fork_server", str(theirs.fileno()), *self._command],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                env={**os.environ, "PYTHONUNBUFFERED": "1", **self._env},
                cwd=self.cwd,
                pass_fds=(theirs.fileno(),),
                start_new_session=True,
            )

    def _end(self) -> None:
        self._ready = False
        if self._control is not None:
            self._control.close()
            self._control = None
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None


def _ask(control: socket.socket, data: bytes, descriptors: Sequence[int]) -> int:
    """Send a request and return the number of the new process; OSError or ValueError when there is none."""
    rights = (socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", descriptors))
    control.settimeout(_ANSWER_SECONDS)
    control.sendmsg([data], [rights])
    pid = int(control.recv(64) or b"0")
    if pid <= 0:
        raise ValueError("it could not fork")
    return pid


@contextlib.contextmanager
def _adopting_orphans() -> Iterator[None]:
    """Within the block processes below us whose parent ends become our children."""
    libc = ctypes.CDLL(None, use_errno=True)
    with _adopting:
        before = ctypes.c_int()
        libc.prctl(_PR_GET_CHILD_SUBREAPER, ctypes.byref(before), 0, 0, 0)
        if libc.prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) != 0:
            raise OSError(ctypes.get_errno(), "cannot adopt processes")
        try:
            yield
        finally:
            libc.prctl(_PR_SET_CHILD_SUBREAPER, before.value, 0, 0, 0)
