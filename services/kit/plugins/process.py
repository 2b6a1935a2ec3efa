"""One child process of the plugin host: started, asked, killed at its deadline."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Mapping
from typing import Any

from services.kit import context
from services.kit.child_output import ChildOutput
from services.kit.plugins.wire import ConnectionLost, FrameTimeout, WireError, receive_frame, send_frame

_INHERITED = ("PATH", "LANG", "LC_ALL", "LC_CTYPE", "TZ", "HOME", "TMPDIR", "VIRTUAL_ENV", "LD_LIBRARY_PATH")
# Interpreter start and the imports of the server itself, before any plugin; a busy machine may need long.
_START_SECONDS = 120.0


def child_environment() -> dict[str, str]:
    """Return the environment of a child: no database URL, token or secret of ours, only what an interpreter needs."""
    environment = {name: os.environ[name] for name in _INHERITED if name in os.environ}
    environment["PYTHONPATH"] = os.pathsep.join(path or os.getcwd() for path in sys.path)
    environment["PYTHONUNBUFFERED"] = "1"
    return environment


class HostDied(Exception):
    """Say how a child came to its end; loading is the plugin that it was importing, if any."""

    def __init__(self, problem: str, *, loading: str = "", timeout: bool = False) -> None:
        super().__init__(problem)
        self.problem = problem
        self.loading = loading
        self.timeout = timeout


class HostProcess:
    """Own one child; after HostDied from any method it is gone for good.

    start: the first frame, see host_main. load_seconds: longest time to load one plugin.
    """

    def __init__(self, start: Mapping[str, Any], load_seconds: float) -> None:
        ours, theirs = socket.socketpair()
        alive_read, self._alive = os.pipe()
        self._output = ChildOutput("plugin host")
        command = [sys.executable, "-P", "-m", "services.kit.plugins.host_main"]
        try:
            self._process = subprocess.Popen(
                [*command, str(theirs.fileno()), str(alive_read)],
                env=child_environment(),
                pass_fds=(theirs.fileno(), alive_read),
                stdin=subprocess.DEVNULL,
                # What plugins print, and what they raise, belongs into our log as all else does.
                stdout=self._output.fd,
                stderr=self._output.fd,
                start_new_session=True,
            )
        except BaseException:
            ours.close()
            os.close(self._alive)
            self._output.abandon()
            raise
        finally:
            theirs.close()
            os.close(alive_read)
        self._output.follow()
        self._connection = ours
        self.catalog = self._load(start, load_seconds)

    @property
    def pid(self) -> int:
        """Give the child's process id."""
        return self._process.pid

    def _load(self, start: Mapping[str, Any], load_seconds: float) -> Mapping[str, Any]:
        loading = ""
        try:
            deadline = time.monotonic() + _START_SECONDS
            send_frame(self._connection, start, deadline)
            while True:
                frame = receive_frame(self._connection, deadline)
                if "ready" in frame:
                    ready: Mapping[str, Any] = frame["ready"]
                    return ready
                loading = frame["loading"]
                deadline = time.monotonic() + load_seconds
        except FrameTimeout:
            self.kill()
            limit = f"{load_seconds:.0f} s" if loading else f"{_START_SECONDS:.0f} s"
            raise HostDied(f"did not load within {limit}", loading=loading, timeout=True) from None
        except WireError as error:
            raise HostDied(f"{self._how_it_ended(error)} while loading", loading=loading) from None
        except BaseException:
            self.kill()
            raise

    def ask(self, request: Mapping[str, Any], seconds: float) -> Any:
        """Send a request and return the reply; kills the child and raises HostDied when it takes longer."""
        deadline = time.monotonic() + seconds
        self._output.call = context.current()
        try:
            send_frame(self._connection, request, deadline)
            return receive_frame(self._connection, deadline)
        except FrameTimeout:
            self.kill()
            raise HostDied(f"did not answer within {seconds:g} s and was stopped", timeout=True) from None
        except WireError as error:
            if isinstance(error, ConnectionLost):
                raise HostDied(self._how_it_ended(error)) from None
            self.kill()
            raise HostDied(str(error)) from None
        except BaseException:
            # The reply to this request would be taken for that of the next.
            self.kill()
            raise

    def is_alive(self) -> bool:
        """Tell whether the child still runs."""
        return self._process.poll() is None

    def _how_it_ended(self, error: WireError) -> str:
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(1)
        code = self._process.returncode
        self.kill()
        if code is None:
            return f"closed the connection ({error})"
        if code == -signal.SIGXCPU:
            return "used up its CPU time and was stopped"
        if code < 0:
            return f"died of {signal.Signals(-code).name}"
        return f"ended the process with exit status {code}"

    def kill(self) -> None:
        """End the child and whatever it started, and let go of everything; may be called twice."""
        with contextlib.suppress(ProcessLookupError, PermissionError):
            if self._process.poll() is None:
                os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()
        self._connection.close()
        if self._alive >= 0:
            os.close(self._alive)
            self._alive = -1
