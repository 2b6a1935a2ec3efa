"""Waiting for a connection's data, or to be woken by another thread."""

from __future__ import annotations

from contextlib import suppress

import amqp

from services.kit.bus.amqp.plain import unpatched


class Poller:
    """Let the thread of a connection sleep until there is something for it to do."""

    def __init__(self) -> None:
        self._select = unpatched("select")
        self._read, self._write = unpatched("socket").socketpair()
        for end in (self._read, self._write):
            end.setblocking(False)

    def wake(self) -> None:
        """Wake the thread, from any other; once is enough."""
        # It has not yet seen those before, or has ended.
        with suppress(OSError):
            self._write.send(b"w")

    def wait(self, connection: amqp.Connection | None, seconds: float) -> bool:
        """Sleep until the connection has data, somebody wakes, or so long; tell whether somebody did wake."""
        poll = self._select.poll()
        poll.register(self._read, self._select.POLLIN)
        if connection is not None:
            poll.register(connection.sock, self._select.POLLIN)
        poll.poll(max(seconds, 0) * 1000)
        woken = False
        try:
            while self._read.recv(1024):
                woken = True
        except BlockingIOError:
            pass
        return woken

    def close(self) -> None:
        """Release the sockets."""
        self._read.close()
        self._write.close()


def drain(connection: amqp.Connection) -> None:
    """Handle all frames that have arrived, and keep the heart beating; raises what a broken connection does."""
    connection.heartbeat_tick()
    while True:
        try:
            connection.drain_events(timeout=0)
        except TimeoutError:
            return
