"""An API that answers with what it was asked, after waiting at a gate when told so; and a background part."""

from __future__ import annotations

import os
import threading
from pathlib import Path
from typing import Any

import grpc

from services.kit.errors import Unavailable
from services.kit.runtime import Runtime
from tests.support.echo import Echo, stubs

GATES = Path(os.environ.get("TOY_GATES", "."))


def register(server: grpc.Server, runtime: Runtime) -> None:
    """Add EchoService; the text `gate` waits, `clock` answers with the business time."""

    def behave(request: Any, context: Any) -> str:
        if request.text == "gate":
            (GATES / "reached").touch()
            waiting = threading.Event()
            while not (GATES / "open").exists():
                waiting.wait(0.01)
        return runtime.clock.now().isoformat() if request.text == "clock" else str(request.text)

    echo = Echo()
    echo.behave = behave
    stubs.add_EchoServiceServicer_to_server(echo, server)


class Background:
    """Leave marks of its start and stop."""

    def start(self) -> None:
        """Mark the start; fails when the test says so."""
        if (GATES / "refuse").exists():
            raise Unavailable("the background part does not start")
        (GATES / "started").touch()

    def stop(self) -> None:
        """Mark the stop."""
        (GATES / "stopped").touch()


def background(runtime: Runtime) -> list[Background]:
    """Return the background part."""
    return [Background()]
