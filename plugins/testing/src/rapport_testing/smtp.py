"""An SMTP server on loopback that does what a test tells it."""

from __future__ import annotations

import asyncio
import socket
import ssl
import threading
from email import message_from_bytes, policy
from typing import Any

from aiosmtpd.smtp import SMTP, AuthResult, Envelope, LoginPassword, Session

from rapport_testing.channels import Behaviour, Received

_REPLIES = {"temporary": "451 4.3.0 try again later", "permanent": "550 5.1.1 no such mailbox"}


class SmtpServer:
    """Implement ChannelServer for SMTP; every command is served by aiosmtpd over a real socket.

    tls: offer and require STARTTLS. login: user and password that are required. at: the step at which a
    behaviour shows, `rcpt` (temporary, permanent, drop_before) or `data` (then after the whole message was
    read). pipelining: offer PIPELINING (RFC 2920). Use as a context manager.
    """

    def __init__(
        self,
        tls: ssl.SSLContext | None = None,
        login: tuple[str, str] | None = None,
        at: str = "rcpt",
        *,
        pipelining: bool = False,
    ) -> None:
        self._tls = tls
        self._login = login
        self.at = at
        self.pipelining = pipelining
        self._default: Behaviour = "accept"
        self._by_address: dict[str, Behaviour] = {}
        self._received: list[Received] = []
        self.connections = 0
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True, name="smtp-server")
        self._thread.start()
        self._listener: asyncio.Server | None = None
        self._open: set[asyncio.BaseTransport] = set()
        self.host = "127.0.0.1"
        self.port = 0
        self.start()

    def __enter__(self) -> SmtpServer:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def behave(self, behaviour: Behaviour, to: str | None = None) -> None:
        """Treat messages to one address, or to all others, so from now on."""
        if to is None:
            self._default = behaviour
        else:
            self._by_address[to] = behaviour

    def received(self) -> list[Received]:
        """Return the messages taken so far, oldest first."""
        return list(self._received)

    def forget(self) -> None:
        """Hold none of the messages taken so far any more."""
        self._received.clear()

    def start(self) -> None:
        """Listen, on the same port as before if there was one."""
        if self._listener is None:
            self._run(self._listen())

    def stop(self) -> None:
        """Stop listening and break all connections."""
        if self._listener is not None:
            self._run(self._shut())

    def disconnect(self) -> None:
        """Break all connections and go on listening, as servers do with idle ones."""

        async def abort() -> None:
            self._abort()

        self._run(abort())

    def _run(self, coroutine: Any) -> None:
        asyncio.run_coroutine_threadsafe(coroutine, self._loop).result(30)

    async def _listen(self) -> None:
        listener = socket.socket()
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((self.host, self.port))
        self.port = listener.getsockname()[1]
        self._listener = await self._loop.create_server(self._new_session, sock=listener)

    async def _shut(self) -> None:
        assert self._listener is not None
        self._listener.close()
        self._listener = None
        self._abort()

    def _abort(self) -> None:
        for transport in list(self._open):
            transport.abort()  # type: ignore[attr-defined]
        self._open.clear()

    def _new_session(self) -> SMTP:
        server = _Session(
            self,
            hostname="smtp.test.test",
            loop=self._loop,
            tls_context=self._tls,
            require_starttls=self._tls is not None,
            auth_required=self._login is not None,
            authenticator=self._authenticate if self._login else None,
        )
        self.connections += 1
        return server

    def _authenticate(
        self, server: Any, session: Any, envelope: Any, mechanism: str, data: Any
    ) -> AuthResult:
        assert self._login is not None
        given = (data.login.decode(), data.password.decode()) if isinstance(data, LoginPassword) else None
        return AuthResult(success=given == self._login, handled=False)

    def opened(self, transport: asyncio.BaseTransport) -> None:
        """Remember a connection."""
        self._open.add(transport)

    def behaviour(self, address: str) -> Behaviour:
        """Return how a message to an address is treated."""
        return self._by_address.get(address, self._default)

    def take(self, envelope: Envelope) -> None:
        """Keep a message."""
        raw = envelope.content or b""
        assert isinstance(raw, bytes)
        mail: Any = message_from_bytes(raw, policy=policy.default)
        body = mail.get_body(("plain",)) or mail.get_body(("html",))
        text = body.get_content() if body is not None else ""
        message_id = str(mail["Message-ID"]).strip("<> ").partition("@")[0]
        self._received.append(Received(message_id, envelope.rcpt_tos[0], text, raw))


class _Handler:
    def __init__(self, owner: SmtpServer) -> None:
        self._owner = owner

    async def handle_EHLO(
        self, server: SMTP, session: Session, envelope: Envelope, hostname: str, responses: list[str]
    ) -> list[str]:
        session.host_name = hostname
        return [responses[0], *(["250-PIPELINING"] if self._owner.pipelining else []), *responses[1:]]

    async def handle_RCPT(
        self, server: SMTP, session: Session, envelope: Envelope, address: str, options: list[str]
    ) -> str:
        behaviour = self._owner.behaviour(address)
        if self._owner.at == "rcpt":
            if reply := _REPLIES.get(behaviour):
                return reply
            if behaviour == "drop_before":
                _abort(server)
                return "421 closing"
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:
        behaviour = self._owner.behaviour(envelope.rcpt_tos[0])
        if reply := _REPLIES.get(behaviour):
            return reply
        if behaviour == "drop_before":
            _abort(server)
            return "421 closing"
        self._owner.take(envelope)
        if behaviour == "drop_after":
            _abort(server)
        return "250 queued"


class _Session(SMTP):
    def __init__(self, owner: SmtpServer, **options: Any) -> None:
        self._owner = owner
        super().__init__(_Handler(owner), **options)

    def connection_made(self, transport: Any) -> None:
        self._owner.opened(transport)
        super().connection_made(transport)


def _abort(server: SMTP) -> None:
    transport: Any = server.transport
    transport.abort()
