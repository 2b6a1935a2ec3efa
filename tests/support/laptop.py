"""Runs `rapport up` as a person would, in a process of its own."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import psutil
from rapport_client import Rapport, connect

from services.kit.postgres import EmbeddedPostgres
from tests.support.programs import REPOSITORY
from tests.support.rabbit import clean_environment

PATIENCE_SECONDS = 200.0


class Laptop:
    """A data folder on which the command line works, run after run; `destroy` removes what is left of it."""

    def __init__(self, folder: Path, base_port: int, **settings: str) -> None:
        self.folder = folder
        self.environment = {
            **clean_environment(),
            "PYTHONPATH": os.pathsep.join([str(REPOSITORY), *filter(None, sys.path)]),
            "COLUMNS": "200",
            "RAPPORT_DATA_DIR": str(folder),
            "RAPPORT_BASE_PORT": str(base_port),
            "RAPPORT_SHUTDOWN_GRACE_SECONDS": "5",
            **settings,
        }
        self._ups: list[Up] = []

    def up(self, **settings: str) -> Up:
        """Start `rapport up`."""
        return self.start("up", **settings)

    def start(self, *arguments: str, **settings: str) -> Up:
        """Start a command that goes on until it is stopped."""
        made = Up([sys.executable, "-m", "services.cli", *arguments], self.environment | settings)
        self._ups.append(made)
        return made

    def run(self, *arguments: str, **settings: str) -> subprocess.CompletedProcess[str]:
        """Run a command to its end."""
        return subprocess.run(
            [sys.executable, "-m", "services.cli", *arguments],
            env=self.environment | settings,
            cwd=self.folder.parent,
            capture_output=True,
            text=True,
            timeout=PATIENCE_SECONDS,
            check=False,
        )

    def client(self) -> Rapport:
        """Return a client with what the stack has left in its folder."""
        found: dict[str, Any] = json.loads((self.folder / "client.json").read_text())
        return connect(found["address"], found["token"], base_port=found["base_port"], timeout=60)

    def processes(self) -> list[psutil.Process]:
        """Return the processes that work on this folder: services, database server, what keeps them."""
        found = []
        marks = {str(self.folder), str((self.folder / "postgres").resolve())}
        for process in psutil.process_iter():
            try:
                words = process.cmdline()
                if not words:  # the kernel's, and those that have ended
                    continue
                mine = process.environ().get("RAPPORT_DATA_DIR") == str(self.folder)
            except psutil.Error:
                continue
            if process.pid != os.getpid() and (
                mine or any(word == mark or word.startswith(f"{mark}/") for mark in marks for word in words)
            ):
                found.append(process)
        return found

    def process(self, *words: str) -> psutil.Process:
        """Return the one process whose command line has these words in a row, or for `postgres` the server."""
        found = [process for process in self.processes() if _is(process, words)]
        assert len(found) == 1, f"{words}: {found}"
        return found[0]

    def destroy(self) -> None:
        """End all that still runs and delete the database."""
        for up in self._ups:
            up.end()
        psutil.wait_procs(self.processes(), timeout=60)
        for process in self.processes():
            process.kill()
        EmbeddedPostgres(self.folder / "postgres").destroy()


def _is(process: psutil.Process, words: tuple[str, ...]) -> bool:
    try:
        line = process.cmdline()
    except psutil.Error:
        return False
    if words == ("postgres",):
        return Path(line[0]).name == "postgres" if line else False
    # Options may follow, as those of the sender do.
    return any(tuple(line[at : at + len(words)]) == words for at in range(len(line)))


class Up:
    """A running command, mostly `rapport up`."""

    def __init__(self, command: list[str], environment: dict[str, str]) -> None:
        self.process = subprocess.Popen(
            command,
            env=environment,
            cwd=Path(environment["RAPPORT_DATA_DIR"]).parent,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )
        self._lines: list[str] = []
        self._ended = False
        self._changed = threading.Condition()
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    @property
    def said(self) -> str:
        """Return all that it has said so far."""
        with self._changed:
            return "".join(self._lines)

    def wait_for(self, text: str, timeout: float = PATIENCE_SECONDS) -> str:
        """Wait until it has said something, and return all that it has said; fail when it ends before."""

        def settled() -> bool:
            return any(text in line for line in self._lines) or self._ended

        with self._changed:
            self._changed.wait_for(settled, timeout)
            assert any(text in line for line in self._lines), f"never said {text!r}:\n{''.join(self._lines)}"
            return "".join(self._lines)

    def wait_until_up(self) -> str:
        """Wait until everything runs."""
        return self.wait_for("Ctrl-C stops everything")

    def stop(self, number: int = signal.SIGINT) -> int:
        """Send a signal and return the exit status once it has ended."""
        self.process.send_signal(number)
        return self.wait()

    def wait(self) -> int:
        """Return the exit status once it has ended."""
        code = self.process.wait(PATIENCE_SECONDS)
        self._reader.join(PATIENCE_SECONDS)
        return code

    def end(self) -> None:
        """Stop it, whatever its state."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            try:
                self.process.wait(60)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
        self._reader.join(10)

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            with self._changed:
                self._lines.append(line)
                self._changed.notify_all()
        with self._changed:
            self._ended = True
            self._changed.notify_all()
