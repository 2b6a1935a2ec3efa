"""Take mail by SMTP: a mail is accepted once it is stored, and never lost or doubled."""

from __future__ import annotations

import asyncio
from typing import Any

from aiosmtpd.controller import Controller
from aiosmtpd.smtp import SMTP as Protocol

from services.care.usecases.inbound import accepts, receive_mail
from services.kit.errors import FailedPrecondition, InvalidArgument, RapportError
from services.kit.log import get_logger
from services.kit.runtime import Runtime
from services.kit.transient import is_transient

MAX_MAIL_BYTES = 6_000_000
_log = get_logger("care.smtp")


class SmtpListener:
    """Listen for mail on the settings' inbound address, in a thread of its own."""

    def __init__(self, runtime: Runtime) -> None:
        settings = runtime.settings
        self.host, self.port = settings.inbound_mail_host, settings.inbound_mail_port
        self._controller = _Controller(
            _Handler(runtime), hostname=self.host, port=self.port, ready_timeout=30.0
        )

    def start(self) -> None:
        """Begin to listen; raises FailedPrecondition (PORT_IN_USE)."""
        try:
            self._controller.start()
        except OSError as error:
            raise FailedPrecondition(
                f"cannot take mail on {self.host}:{self.port}: {error.strerror or error}; "
                "change RAPPORT_BASE_PORT or RAPPORT_INBOUND_MAIL_HOST",
                reason="PORT_IN_USE",
            ) from error

    def stop(self) -> None:
        """Stop listening; mails under way are finished or refused for now."""
        self._controller.stop(no_assert=True)


class _Controller(Controller):
    def factory(self) -> Protocol:
        return Protocol(self.handler, data_size_limit=MAX_MAIL_BYTES, ident="Rapport", enable_SMTPUTF8=True)


class _Handler:
    def __init__(self, runtime: Runtime) -> None:
        self._runtime = runtime

    async def handle_RCPT(
        self, server: Any, session: Any, envelope: Any, address: str, options: list[str]
    ) -> str:
        """Accept recipients that care takes mail for."""
        if not accepts(address, self._runtime.settings.mail_domain):
            return "550 5.1.1 nobody here has this address"
        envelope.rcpt_tos.append(address)
        return "250 2.1.5 OK"

    async def handle_DATA(self, server: Any, session: Any, envelope: Any) -> str:
        """Store a mail, then accept it."""
        return await asyncio.to_thread(self._store, envelope)

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
