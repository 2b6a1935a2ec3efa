"""Send over one SMTP connection that is kept open, and know for each message what became of it."""

from __future__ import annotations

import smtplib
import ssl
from collections.abc import Sequence
from contextlib import suppress

from rapport_sdk import (
    CallbackRequest,
    ChannelContext,
    DeliveryReport,
    OutboundMessage,
    Outcome,
    SendResult,
    Settings,
)

from rapport_builtin.email.build import BadMessage, address, build, message_id
from rapport_builtin.email.reports import parse_report
from rapport_builtin.email.signing import signer_of

# "Log in first", "this way of logging in does not do", "wrong sequence of commands": true of us, not of the
# recipient.
_OUR_FAULT = frozenset({500, 502, 503, 530, 534, 535, 538})


class _NotSent(Exception):
    """Say that the server was not reached, or was lost before it was given the message."""


class _Lost(Exception):
    """Say that the connection broke after the message was handed over and before the server confirmed it."""


class SmtpAdapter:
    """Implement rapport_sdk.ChannelAdapter for one SMTP server."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        if settings["smtp_user"] and settings["smtp_security"] == "none":
            raise ValueError(
                "smtp_user is set but smtp_security is none: the password would travel in the clear"
            )
        self._tls = None
        if settings["smtp_security"] != "none":
            self._tls = ssl.create_default_context(cafile=settings["smtp_ca_file"] or None)
        self._signer = signer_of(settings)
        self._server: smtplib.SMTP | None = None

    def send(self, batch: Sequence[OutboundMessage], ctx: ChannelContext) -> list[SendResult]:
        """Send each message in its own transaction.

        Outcomes: 250 after the data is accepted, 4xx temporary, 5xx permanent; refusals of the sender or of
        our login are temporary, for they say nothing about the recipient. Lost before the data: temporary.
        Lost after it, before the answer: unknown. Once the server cannot be reached, the rest of the batch is
        temporary, not tried.
        """
        results: list[SendResult] = []
        unreachable = ""
        for message in batch:
            if unreachable:
                results.append(SendResult(Outcome.TEMPORARY, reason=f"not tried: {unreachable}"))
                continue
            try:
                results.append(self._send_one(message, ctx))
            except BadMessage as error:
                results.append(SendResult(Outcome.PERMANENT, reason=str(error)))
            except _NotSent as error:
                unreachable = str(error)
                results.append(SendResult(Outcome.TEMPORARY, reason=unreachable))
            except _Lost as error:
                # The provider id is known all the same, so that a bounce or a complaint can still be matched.
                results.append(SendResult(Outcome.UNKNOWN, message_id(message), str(error)))
        return results

    def parse_callback(self, request: CallbackRequest, ctx: ChannelContext) -> list[DeliveryReport]:
        """Read a mail with a delivery report (RFC 3464) or a complaint (RFC 5965)."""
        return parse_report(request.body)

    def close(self) -> None:
        """Say good-bye to the server."""
        server, self._server = self._server, None
        if server is not None:
            with suppress(OSError, smtplib.SMTPException):
                server.quit()
            server.close()

    def _send_one(self, message: OutboundMessage, ctx: ChannelContext) -> SendResult:
        sender = address(message.bounce_address or message.from_address, "bounce_address")
        recipient = address(message.to, "to")
        data = build(message, ctx.now)
        if self._signer is not None:
            data = self._signer.header(data) + data
        reused = self._server is not None
        try:
            return self._transaction(sender, recipient, data, message_id(message))
        except _NotSent:
            if not reused:
                raise
        # Servers close idle connections. Nothing of this message was handed over, so once more on a new one
        # is safe.
        return self._transaction(sender, recipient, data, message_id(message))

    def _transaction(self, sender: str, recipient: str, data: bytes, mail_id: str) -> SendResult:
        server = self._server or self._connect()
        self._server = server
        size = f" SIZE={len(data)}" if server.has_extn("size") else ""
        code, reply = self._command(server, f"MAIL FROM:<{sender}>{size}")
        if code != 250:
            # 552 is about the size of this very message; all else here is about the sender.
            outcome = Outcome.PERMANENT if code == 552 else Outcome.TEMPORARY
            return self._refused(server, outcome, f"sender refused: {code} {reply}", code)
        code, reply = self._command(server, f"RCPT TO:<{recipient}>")
        if code not in (250, 251):
            return self._refused(server, _outcome(code), f"{code} {reply}", code)
        code, reply = self._command(server, "DATA")
        if code != 354:
            return self._refused(server, _outcome(code), f"{code} {reply}", code)
        code, reply = self._hand_over(server, data)
        if 200 <= code < 300:
            return SendResult(Outcome.ACCEPTED, mail_id)
        if code == 421:
            self._drop()
        return SendResult(_outcome(code), reason=f"{code} {reply}")

    def _hand_over(self, server: smtplib.SMTP, data: bytes) -> tuple[int, str]:
        if data.startswith(b".") or b"\n." in data:
            data = data.replace(b"\n.", b"\n..")
        try:
            server.send(data + b".\r\n")
            code, reply = server.getreply()
        except (OSError, smtplib.SMTPException) as error:
            self._drop()
            raise _Lost(f"connection lost before the server confirmed: {_text(error)}") from error
        except BaseException:
            self._drop()
            raise
        if code < 200:
            self._drop()
            raise _Lost(f"the server answered {code} where it must confirm or refuse")
        return code, _decode(reply)

    def _refused(self, server: smtplib.SMTP, outcome: Outcome, reason: str, code: int) -> SendResult:
        """Leave the connection fit for the next message."""
        if code == 421:  # the server is closing
            self._drop()
        else:
            with suppress(_NotSent):
                if self._command(server, "RSET")[0] != 250:
                    self._drop()
        return SendResult(outcome, reason=reason)

    def _command(self, server: smtplib.SMTP, line: str) -> tuple[int, str]:
        try:
            code, reply = server.docmd(line)
        except (OSError, smtplib.SMTPException) as error:
            self._drop()
            raise _NotSent(f"connection lost at {line.split(':')[0]}: {_text(error)}") from error
        except BaseException:
            self._drop()
            raise
        return code, _decode(reply)

    def _connect(self) -> smtplib.SMTP:
        get = self._settings
        where = f"{get['smtp_host']}:{get['smtp_port']}"
        hello = get["smtp_hello"] or None
        timeout = get["smtp_timeout"]
        server: smtplib.SMTP | None = None
        try:
            if get["smtp_security"] == "tls":
                assert self._tls is not None
                server = smtplib.SMTP_SSL(
                    get["smtp_host"], get["smtp_port"], hello, timeout=timeout, context=self._tls
                )
            else:
                server = smtplib.SMTP(get["smtp_host"], get["smtp_port"], hello, timeout=timeout)
            server.ehlo_or_helo_if_needed()
            if get["smtp_security"] == "starttls":
                server.starttls(context=self._tls)
                server.ehlo()
            if get["smtp_user"]:
                server.login(get["smtp_user"], get["smtp_password"])
        except (OSError, smtplib.SMTPException) as error:
            if server is not None:
                server.close()
            raise _NotSent(f"no session with {where}: {_text(error)}") from error
        return server

    def _drop(self) -> None:
        server, self._server = self._server, None
        if server is not None:
            server.close()


def _outcome(code: int) -> Outcome:
    return Outcome.PERMANENT if 500 <= code < 600 and code not in _OUR_FAULT else Outcome.TEMPORARY


def _decode(reply: bytes) -> str:
    return " ".join(reply.decode("utf-8", "replace").split())[:300]


def _text(error: Exception) -> str:
    if isinstance(error, smtplib.SMTPResponseException):
        reply = error.smtp_error
        return f"{error.smtp_code} {_decode(reply) if isinstance(reply, bytes) else reply}"
    return f"{type(error).__name__}: {error}"
