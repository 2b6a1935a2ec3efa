"""Take mail by SMTP: a mail is accepted once it is stored, and never lost or doubled."""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from aiosmtpd.smtp import SMTP as Protocol

from services.care.usecases.inbound import accepts, receive_mail
from services.kit.errors import FailedPrecondition, InvalidArgument, RapportError
from services.kit.log import get_logger
from services.kit.runtime import Runtime
from services.kit.transient import is_transient

MAX_MAIL_BYTES = 6_000_000
MAX_RECIPIENTS = 100
MAX_CONNECTIONS = 100
"""Connections at once, each of which may hold a whole mail in memory; further ones are told to come again (421)."""
STORING = 4
"""Mails that are stored at once; others wait, as they must not take all connections to the database."""

_log = get_logger("care.smtp")


class SmtpListener:
    """Listen for mail on the settings' inbound address, in a thread of its own."""

    def __init__(self, runtime: Runtime) -> None:
        self.host, self.port = runtime.settings.inbound_mail_host, runtime.settings.inbound_mail_port
        self._grace = runtime.settings.shutdown_grace_seconds
        self._handler = _Handler(runtime)
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None
        self._stop = asyncio.Event()
        self._open = 0

    def start(self) -> None:
        """Begin to listen; raises FailedPrecondition (PORT_IN_USE)."""
        family = socket.AF_INET6 if ":" in self.host else socket.AF_INET
        try:
            bound = socket.create_server((self.host, self.port), family=family)
        except OSError as error:
            raise FailedPrecondition(
                f"cannot take mail on {self.host}:{self.port}: {error.strerror or error}; "
                "change RAPPORT_BASE_PORT or RAPPORT_INBOUND_MAIL_HOST",
                reason="PORT_IN_USE",
            ) from error
        ready = threading.Event()
        self._thread = threading.Thread(
            target=lambda: asyncio.run(self._run(bound, ready)), name="care-smtp", daemon=True
        )
        self._thread.start()
        ready.wait()

    def stop(self) -> None:
        """Stop listening; mails whose content has come are stored and answered first, as far as the grace lasts."""
        if self._thread is not None and self._loop is not None:
            self._loop.call_soon_threadsafe(self._stop.set)
            self._thread.join()
            self._thread = None

    async def _run(self, bound: socket.socket, ready: threading.Event) -> None:
        self._loop = asyncio.get_running_loop()
        server = await self._loop.create_server(self._protocol, sock=bound)
        ready.set()
        await self._stop.wait()
        server.close()
        await self._handler.idle(self._grace)
        # Leaving cancels the sessions: their senders come again.

    def _protocol(self) -> asyncio.Protocol:
        if self._open >= MAX_CONNECTIONS:
            return _Full()
        self._open += 1
        return _Session(
            self._handler,
            data_size_limit=MAX_MAIL_BYTES,
            ident="Rapport",
            enable_SMTPUTF8=True,
            loop=self._loop,
            gone=self._closed,
        )

    def _closed(self) -> None:
        self._open -= 1


class _Session(Protocol):
    """Talk with a sender, and tell when it has gone."""

    def __init__(self, *arguments: Any, gone: Callable[[], None], **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._gone = gone

    def connection_lost(self, error: Exception | None) -> None:
        self._gone()
        super().connection_lost(error)


class _Full(asyncio.Protocol):
    """Send a sender away, who comes again by the rules of SMTP."""

    def connection_made(self, transport: Any) -> None:
        transport.write(b"421 4.7.0 too many connections, try again later\r\n")
        transport.close()


class _Handler:
    def __init__(self, runtime: Runtime) -> None:
        self._runtime = runtime
        self._pool = ThreadPoolExecutor(STORING, thread_name_prefix="care-smtp")
        self._storing = 0
        self._idle = asyncio.Event()
        self._idle.set()

    async def handle_RCPT(
        self, server: Any, session: Any, envelope: Any, address: str, options: list[str]
    ) -> str:
        """Accept recipients that care takes mail for."""
        if not accepts(address, self._runtime.settings.mail_domain):
            return "550 5.1.1 nobody here has this address"
        if len(envelope.rcpt_tos) >= MAX_RECIPIENTS:
            return "452 4.5.3 too many recipients, send to the others in another mail"
        envelope.rcpt_tos.append(address)
        return "250 2.1.5 OK"

    async def handle_DATA(self, server: Any, session: Any, envelope: Any) -> str:
        """Store a mail, then accept it."""
        self._storing += 1
        self._idle.clear()
        try:
            return await asyncio.get_running_loop().run_in_executor(self._pool, self._store, envelope)
        finally:
            self._storing -= 1
            if not self._storing:
                self._idle.set()

    async def idle(self, seconds: float) -> None:
        """Wait until no mail is being stored, and its sender has the answer, or until the time is up."""
        try:
            async with asyncio.timeout(seconds):
                while self._storing:
                    await self._idle.wait()
                    await asyncio.sleep(0)
        except TimeoutError:
            _log.warning("mails under way were not finished in time; their senders will come again")
        self._pool.shutdown(wait=False, cancel_futures=True)

    def _store(self, envelope: Any) -> str:
        try:
            received = receive_mail(
                self._runtime, envelope.content, envelope.mail_from or "", envelope.rcpt_tos
            )
        except InvalidArgument as error:
            return f"554 5.6.0 {_line(error.message)}"
        except RapportError as error:
            return f"451 4.3.0 {_line(error.message)}"
        except Exception as error:
            if not is_transient(error):
                _log.exception("a mail could not be stored")
            return "451 4.3.0 the mail cannot be stored now, try again later"
        return f"250 2.6.0 {received.outcome}"


def _line(text: str) -> str:
    return " ".join(text.split())[:400].encode("ascii", "replace").decode()
