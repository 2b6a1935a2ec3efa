"""An HTTP server on loopback that does what a test tells it."""

from __future__ import annotations

import socket
import ssl
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from socketserver import TCPServer
from typing import Any

from rapport_testing.channels import Behaviour, Received

_STATUS = {"accept": 200, "temporary": 503, "permanent": 400}


@dataclass(frozen=True)
class Request:
    """Hold a request as it came; header names in lower case."""

    method: str
    path: str
    headers: Mapping[str, str]
    body: bytes


@dataclass(frozen=True)
class Reply:
    """Say how a request is answered."""

    status: int = 200
    headers: Mapping[str, str] | None = None
    body: bytes = b"{}"


class HttpServer:
    """Implement ChannelServer for channels that speak HTTP, over real sockets.

    read: makes a Received of a request; its `to` decides on the behaviour. reply: what those that are accepted get,
    by default 200. tls: serve https. Use as a context manager.
    """

    def __init__(
        self,
        read: Callable[[Request], Received],
        *,
        reply: Callable[[Request], Reply] = lambda request: Reply(),
        tls: ssl.SSLContext | None = None,
    ) -> None:
        self._read = read
        self.reply = reply
        self._tls = tls
        self._default: Behaviour = "accept"
        self._by_address: dict[str, Behaviour] = {}
        self._received: list[Received] = []
        self.requests: list[Request] = []
        self.connections = 0
        self.host = "127.0.0.1"
        self.port = 0
        self._server: _Server | None = None
        self._thread: threading.Thread | None = None
        self.start()

    def __enter__(self) -> HttpServer:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    @property
    def url(self) -> str:
        """Its address."""
        return f"{'https' if self._tls else 'http'}://{self.host}:{self.port}"

    def behave(self, behaviour: Behaviour, to: str | None = None) -> None:
        """Treat messages to one address, or to all others, so from now on."""
        if to is None:
            self._default = behaviour
        else:
            self._by_address[to] = behaviour

    def received(self) -> list[Received]:
        """Return the messages taken so far, oldest first."""
        return list(self._received)

    def start(self) -> None:
        """Listen, on the same port as before if there was one."""
        if self._server is None:
            self._server = _Server((self.host, self.port), self, self._tls)
            self.port = self._server.server_address[1]
            self._thread = threading.Thread(
                target=self._server.serve_forever, args=(0.02,), daemon=True, name="http-server"
            )
            self._thread.start()

    def stop(self) -> None:
        """Stop listening and break all connections."""
        if self._server is not None:
            assert self._thread is not None
            server, self._server = self._server, None
            server.shutdown()
            server.disconnect()
            server.server_close()
            self._thread.join()

    def disconnect(self) -> None:
        """Break all connections and go on listening, as servers do with idle ones."""
        assert self._server is not None
        self._server.disconnect()

    def answer(self, request: Request) -> Reply | None:
        """Take or refuse a request; None breaks the connection."""
        self.requests.append(request)
        item = self._read(request)
        behaviour = self._by_address.get(item.to, self._default)
        if behaviour == "drop_before":
            return None
        if behaviour in ("temporary", "permanent"):
            return Reply(_STATUS[behaviour])
        reply = self.reply(request)
        if 200 <= reply.status < 300:
            self._received.append(item)
        return None if behaviour == "drop_after" else reply


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: _Server

    def setup(self) -> None:
        if self.server.tls is not None:
            self.request = self.server.tls.wrap_socket(self.request, server_side=True)
        super().setup()

    def handle(self) -> None:
        try:
            super().handle()
        except (OSError, ValueError):
            self.close_connection = True  # broken by the test

    def _serve(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", "0")))
        headers = {name.lower(): value for name, value in self.headers.items()}
        reply = self.server.owner.answer(Request(self.command, self.path, headers, body))
        if reply is None:
            self.close_connection = True
            self.connection.shutdown(socket.SHUT_RDWR)
            return
        self.send_response(reply.status)
        given = {"Content-Type": "application/json", "Content-Length": str(len(reply.body))}
        for name, value in (given | dict(reply.headers or {})).items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(reply.body)

    do_GET = do_POST = do_PUT = _serve

    def log_message(self, format: str, *args: object) -> None:
        pass


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    allow_reuse_address = True

    def __init__(self, address: tuple[str, int], owner: HttpServer, tls: ssl.SSLContext | None) -> None:
        self.owner = owner
        self.tls = tls
        self._open: set[socket.socket] = set()
        super().__init__(address, _Handler)

    def server_bind(self) -> None:
        # Not HTTPServer's, which asks for the machine's name, and waits where nobody answers.
        TCPServer.server_bind(self)
        self.server_name, self.server_port = self.owner.host, int(self.server_address[1])

    def process_request(self, request: Any, client_address: Any) -> None:
        self._open.add(request)
        self.owner.connections += 1
        super().process_request(request, client_address)

    def shutdown_request(self, request: Any) -> None:
        self._open.discard(request)
        super().shutdown_request(request)

    def handle_error(self, request: object, client_address: object) -> None:
        pass  # handshakes that clients refuse

    def disconnect(self) -> None:
        for connection in list(self._open):
            try:
                connection.shutdown(socket.SHUT_RDWR)
            except OSError:
                continue  # closed already
