"""TCP proxies between processes, and what a network does to connections: nothing, silence, or an end."""

from __future__ import annotations

import asyncio
import socket
import struct
import threading
from collections.abc import Callable, Coroutine
from typing import Any

_CHUNK = 64 << 10
_START_SECONDS = 10.0


class Link:
    """Everything that goes to one server: a listening port, and the connections made to it.

    silent: what is sent waits, as when packets are lost; it goes on when the link heals. broken: connections end at
    once, and so do new ones.
    """

    def __init__(self, network: Network, name: str, port: int, target: tuple[str, int]) -> None:
        self.name = name
        self.port = port
        self._network = network
        self._target = target
        self._flowing = asyncio.Event()
        self._flowing.set()
        self._broken = False
        self._open: set[asyncio.StreamWriter] = set()

    async def listen(self) -> asyncio.Server:
        """Take connections on the port."""
        server = await asyncio.start_server(self._serve, "127.0.0.1", self.port)
        self.port = server.sockets[0].getsockname()[1]
        return server

    def silence(self) -> None:
        """Hold back everything until it heals."""
        self._network.call(self._flowing.clear)

    def break_(self) -> None:
        """End all connections, and new ones as soon as they are made, until it heals."""

        def now() -> None:
            self._broken = True
            self._end_all()

        self._network.call(now)

    def heal(self) -> None:
        """Let everything through again."""

        def now() -> None:
            self._broken = False
            self._flowing.set()

        self._network.call(now)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._open.add(writer)
        onward: asyncio.StreamWriter | None = None
        try:
            await self._flowing.wait()
            if self._broken:
                return
            answers, onward = await asyncio.open_connection(*self._target)
            self._open.add(onward)
            async with asyncio.TaskGroup() as both:
                both.create_task(self._pass_on(reader, onward))
                both.create_task(self._pass_on(answers, writer))
        except* OSError:
            pass  # either side may die: that is what happens here
        finally:
            for one in (writer, onward):
                if one is not None:
                    self._open.discard(one)
                    _reset(one)

    async def _pass_on(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(_CHUNK):
            await self._flowing.wait()
            writer.write(data)
            await writer.drain()
        # An end in one direction is one in both: none of these protocols goes on half closed.
        raise ConnectionResetError

    def _end_all(self) -> None:
        for writer in self._open:
            _reset(writer)


class Network:
    """Links, served by one thread; `with` starts and ends it."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._run, name="network", daemon=True)
        self._servers: list[asyncio.Server] = []

    def __enter__(self) -> Network:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.call(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def link(self, name: str, target: tuple[str, int], port: int = 0) -> Link:
        """Return a new link to a server, listening on a port, 0 for a free one."""
        made = Link(self, name, port, target)
        self._servers.append(self._await(made.listen()))
        return made

    def call(self, function: Callable[[], object]) -> None:
        """Run a function in the thread of the links."""
        self._loop.call_soon_threadsafe(function)

    def _await(self, work: Coroutine[Any, Any, asyncio.Server]) -> asyncio.Server:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(_START_SECONDS)

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        self._loop.run_forever()
        for server in self._servers:
            server.close()
        tasks = asyncio.all_tasks(self._loop)
        for task in tasks:
            task.cancel()
        self._loop.run_until_complete(asyncio.gather(*tasks, return_exceptions=True))


def _reset(writer: asyncio.StreamWriter) -> None:
    """End a connection at once, as its peer's kernel sees it when the process or the way there is gone."""
    raw: socket.socket | None = writer.get_extra_info("socket")
    if raw is not None and not writer.is_closing():
        raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()
