"""One rendering child: started, asked, watched, killed."""

from __future__ import annotations

import contextlib
import mmap
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass

from services.campaign.renderer.frames import COMPILING, HEADER, IDLE, PROGRESS, RENDERING
from services.kit.child_output import ChildOutput
from services.kit.plugins.process import child_environment

MAX_ANSWER = 256 << 20
START_SECONDS = 60.0
_LOOK_SECONDS = 0.25


@dataclass(frozen=True, slots=True)
class Death:
    """Say how a child ended, and at which item of its batch; index: None when it was at none."""

    problem: str
    index: int | None
    compiling: bool


class ChildDied(Exception):
    """Report the end of a child."""

    def __init__(self, death: Death) -> None:
        super().__init__(death.problem)
        self.death = death


class ChildProcess:
    """Own one child; after ChildDied it is gone for good. Used by one thread at a time.

    seconds: how long one item may take, in real time; the child itself ends earlier what it can end. nice: by how much
    others go before it.
    """

    def __init__(self, seconds: float, nice: int = 0) -> None:
        self._seconds = seconds
        self.known: set[int] = set()
        ours, theirs = socket.socketpair()
        alive_read, self._alive = os.pipe()
        output = ChildOutput("renderer")
        with tempfile.TemporaryFile() as shared:
            shared.truncate(PROGRESS.size)
            self._progress = mmap.mmap(shared.fileno(), PROGRESS.size)
            passed = (theirs.fileno(), alive_read, shared.fileno())
            try:
                # No code of ours runs between fork and exec: gRPC's threads would wake up in it.
                self._process = subprocess.Popen(
                    [
                        sys.executable,
                        "-P",
                        "-m",
                        "services.campaign.renderer.child",
                        *map(str, (*passed, nice)),
                    ],
                    env=child_environment(),
                    pass_fds=passed,
                    stdin=subprocess.DEVNULL,
                    stdout=output.fd,
                    stderr=output.fd,
                    start_new_session=True,
                )
            except BaseException:
                ours.close()
                os.close(self._alive)
                output.abandon()
                raise
            finally:
                theirs.close()
                os.close(alive_read)
        output.follow()
        self._connection = ours
        self._fresh = True

    @property
    def pid(self) -> int:
        """Give the child's process id."""
        return self._process.pid

    def is_alive(self) -> bool:
        """Tell whether the child still runs."""
        return self._process.poll() is None

    def ask(self, request: bytes, seconds: float | None = None) -> bytes:
        """Send a batch and return its answer; raises ChildDied. seconds: for one rendering, if less than usual."""
        PROGRESS.pack_into(self._progress, 0, 0, IDLE)
        try:
            self._connection.settimeout(START_SECONDS)
            self._connection.sendall(HEADER.pack(len(request)) + request)
            answer = self._receive(self._seconds if seconds is None else seconds)
        except OSError as error:
            raise ChildDied(self._death(f"closed the connection ({type(error).__name__})")) from None
        except BaseException:
            # The answer to this batch would be taken for that to the next.
            self.kill()
            raise
        self._fresh = False
        return answer

    def _receive(self, rendering: float) -> bytes:
        buffer = bytearray()
        wanted = HEADER.size
        length = None
        self._connection.settimeout(_LOOK_SECONDS)
        # A new interpreter first imports what it needs; that is not the first item's time.
        since = time.monotonic() + (START_SECONDS if self._fresh else 0)
        last = bytes(self._progress[:])
        while len(buffer) < wanted:
            try:
                piece = self._connection.recv(min(1 << 20, wanted - len(buffer)))
            except TimeoutError:
                now, at = time.monotonic(), bytes(self._progress[:])
                if at != last:
                    last, since = at, now
                    continue
                stage = PROGRESS.unpack(at)[1]
                seconds = rendering if stage == RENDERING else self._seconds
                if now - since > seconds:
                    raise ChildDied(self._death(f"takes longer than {seconds:g} s")) from None
                continue
            if not piece:
                raise ChildDied(self._death(""))
            buffer += piece
            since = max(since, time.monotonic())
            if length is None and len(buffer) >= HEADER.size:
                length = HEADER.unpack_from(buffer)[0]
                if length > MAX_ANSWER:
                    raise ChildDied(self._death("answered beyond all bounds"))
                wanted = HEADER.size + length
        return bytes(buffer[HEADER.size :])

    def _death(self, problem: str) -> Death:
        index, stage = PROGRESS.unpack_from(self._progress)
        if not problem:
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(1)
            code = self._process.returncode
            if code == -signal.SIGXCPU:
                problem = "uses too much CPU time"
            elif code is not None and code < 0:
                problem = f"died of {signal.Signals(-code).name}"
            else:
                problem = f"ended with status {code}"
        self.kill()
        return Death(problem, index if stage != IDLE else None, stage == COMPILING)

    def kill(self) -> None:
        """End the child and let go of everything; may be called twice."""
        with contextlib.suppress(ProcessLookupError, PermissionError):
            if self._process.poll() is None:
                os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()
        self._connection.close()
        if self._alive >= 0:
            os.close(self._alive)
            self._alive = -1
