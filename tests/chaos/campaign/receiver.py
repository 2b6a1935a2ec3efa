"""The mail server of the chaos run: true SMTP, and each Message-ID is on disk before its 250.

It runs as a process of its own, so that it can be killed, and is started again on the same port:

    python -m tests.chaos.campaign.receiver --port 2525 --journal received.txt

What it confirmed is therefore in the journal whatever happened since. It may hold more: what was written when the
server died before it could answer. The journal has one line for each message taken.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import re
from collections import Counter
from pathlib import Path

_MESSAGE_ID = re.compile(rb"^message-id:\s*<([^<>@\s]+)@[^<>@\s]+>", re.IGNORECASE | re.MULTILINE)
_LIMIT = 4 << 20
LINE = 37
"""The length of a line: the ledger's ids are UUIDs."""


class Journal:
    """Append lines to a file that survive the death of the process and of the machine."""

    def __init__(self, path: Path) -> None:
        self._file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)

    def add(self, line: bytes) -> None:
        """Write a line and return once it is on disk."""
        if len(line) + 1 != LINE or os.write(self._file, line + b"\n") != LINE:
            raise OSError("the journal takes whole ids only")
        os.fdatasync(self._file)


def received(path: Path) -> Counter[str]:
    """Return how often each message was taken, by the local part of its Message-ID."""
    if not path.exists():
        return Counter()
    return Counter(line.decode() for line in path.read_bytes().split(b"\n")[:-1])


def count(path: Path) -> int:
    """Return how many messages were taken, doubled ones included, at the cost of a look at the file's size."""
    return path.stat().st_size // LINE if path.exists() else 0


async def converse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, journal: Journal) -> None:
    """Hold one SMTP session (RFC 5321) until the client leaves."""

    async def say(text: str) -> None:
        writer.write(text.encode() + b"\r\n")
        await writer.drain()

    sender = recipient = False
    await say("220 receiver.test ESMTP")
    while line := await reader.readline():
        verb = line.split(b" ", 1)[0].strip().upper()
        if verb == b"EHLO":
            await say("250-receiver.test\r\n250-PIPELINING\r\n250 8BITMIME")
        elif verb == b"HELO":
            await say("250 receiver.test")
        elif verb == b"MAIL":
            sender, recipient = True, False
            await say("250 ok")
        elif verb == b"RCPT":
            recipient = sender
            await say("250 ok" if sender else "503 MAIL first")
        elif verb == b"DATA" and not recipient:
            await say("503 RCPT first")
        elif verb == b"DATA":
            await say("354 go on")
            data = await reader.readuntil(b"\r\n.\r\n")
            found = _MESSAGE_ID.search(data)
            sender = recipient = False
            if found is None:
                await say("554 no Message-ID")
                continue
            journal.add(found[1])
            await say("250 taken")
        elif verb in (b"RSET", b"NOOP"):
            sender = recipient = False if verb == b"RSET" else recipient
            await say("250 ok")
        elif verb == b"QUIT":
            await say("221 bye")
            return
        else:
            await say("500 what?")


async def serve(port: int, journal: Journal) -> None:
    """Serve on loopback until the process is ended; tells on standard output when it listens."""

    async def session(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await converse(reader, writer, journal)
        except (ConnectionError, asyncio.IncompleteReadError):
            pass  # senders are killed as well
        finally:
            writer.close()

    server = await asyncio.start_server(session, "127.0.0.1", port, limit=_LIMIT, reuse_address=True)
    print(server.sockets[0].getsockname()[1], flush=True)
    async with server:
        await server.serve_forever()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="python -m tests.chaos.campaign.receiver", description=__doc__)
    parser.add_argument("--port", type=int, default=0, help="0 takes a free one and prints it")
    parser.add_argument("--journal", type=Path, required=True)
    options = parser.parse_args()
    asyncio.run(serve(options.port, Journal(options.journal)))
