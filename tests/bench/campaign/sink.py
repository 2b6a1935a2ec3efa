"""The mail server that takes everything and keeps nothing: Postfix's `smtp-sink`.

Where the program is missing (Debian: `apt-get install postfix`), a small server of ours stands in for it, in Python and
so no faster than what it measures; figures say so in their names. It runs as a process of its own:

    python -m tests.bench.campaign.sink --port 2525
"""

from __future__ import annotations

import argparse
import asyncio
import os
import shutil
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass

from tests.support.campaign import ROOT
from tests.support.waiting import until

_PLACES = os.pathsep.join((os.environ.get("PATH", ""), "/usr/sbin", "/usr/local/sbin"))


@dataclass(frozen=True, slots=True)
class Sink:
    """Where the server listens, what it is: `smtp-sink` or `our own sink`, and its process id."""

    port: int
    name: str
    pid: int


@contextmanager
def open_sink(say: Callable[[str], None]) -> Iterator[Sink]:
    """Run the server until the block ends."""
    with socket.socket() as chosen:
        chosen.bind(("127.0.0.1", 0))
        port = chosen.getsockname()[1]
    program = shutil.which("smtp-sink", path=_PLACES)
    if program:
        name = "smtp-sink"
        # As root it wants a user to become.
        user = ["-u", "nobody"] if os.geteuid() == 0 else []
        command = [program, *user, "-h", "sink.test", f"127.0.0.1:{port}", "512"]
    else:
        say("smtp-sink is not installed (Debian: apt-get install postfix); our own sink stands in for it")
        name = "our own sink"
        command = [sys.executable, "-m", "tests.bench.campaign.sink", f"--port={port}"]
    process = subprocess.Popen(command, cwd=ROOT)
    try:
        until(lambda: process.poll() is not None or _answers(port), "the sink listens")
        if process.poll() is not None:
            raise RuntimeError(f"{name} ended at once with status {process.returncode}")
        yield Sink(port, name, process.pid)
    finally:
        process.terminate()
        process.wait()


def _answers(port: int) -> bool:
    with suppress(OSError), socket.create_connection(("127.0.0.1", port), 1) as connection:
        return connection.recv(3) == b"220"
    return False


async def _session(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    replies = {b"EHLO": b"250-sink.test\r\n250-PIPELINING\r\n250 8BITMIME\r\n", b"DATA": b"354 go\r\n"}
    with suppress(ConnectionError, asyncio.IncompleteReadError):
        writer.write(b"220 sink.test ESMTP\r\n")
        while line := await reader.readline():
            verb = line[:4].upper()
            writer.write(replies.get(verb, b"250 ok\r\n"))
            if verb == b"DATA":
                await reader.readuntil(b"\r\n.\r\n")
                writer.write(b"250 ok\r\n")
            if verb == b"QUIT":
                break
    writer.close()


async def _serve(port: int) -> None:
    async with await asyncio.start_server(_session, "127.0.0.1", port, limit=4 << 20) as server:
        await server.serve_forever()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="python -m tests.bench.campaign.sink")
    parser.add_argument("--port", type=int, required=True)
    asyncio.run(_serve(parser.parse_args().port))
