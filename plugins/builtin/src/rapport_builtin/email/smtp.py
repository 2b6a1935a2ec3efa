"""Send over one SMTP connection that is kept open, and know for each message what became of it."""

from __future__ import annotations

import smtplib
import socket
import ssl
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import TypeAlias

from rapport_sdk import (
    CallbackRequest,
    ChannelContext,
    DeliveryReport,
    OutboundMessage,
    Outcome,
    SendResult,
    Settings,
)
from rapport_sdk.mail_reports import blames_address

from rapport_builtin.email.build import BadMessage, address, build, message_id
from rapport_builtin.email.reports import parse_report
from rapport_builtin.email.signing import Signer, signer_of
from rapport_builtin.reports import require_secret

# "Log in first", "this way of logging in does not do", "wrong sequence of commands": true of us, not of the
# recipient.
_OUR_FAULT = frozenset({500, 502, 503, 530, 534, 535, 538})

_STEPS = ("MAIL FROM", "RCPT TO", "DATA")
_ACCEPTED = ((250,), (250, 251), (354,))
_Reply: TypeAlias = tuple[int, str]


class _NotSent(Exception):
    """Say that the server was not reached, or was lost before it was given the message."""


class _Lost(Exception):
    """Say that the connection broke after the message was handed over and before the server confirmed it."""


@dataclass(frozen=True, slots=True)
class _Mail:
    """Hold a mail as it goes over the wire: its commands up to DATA, and its bytes."""

    commands: tuple[str, str, str]
    data: bytes
    mail_id: str


_Following = Callable[[], "_Mail | None"]


class SmtpAdapter:
    """Implement rapport_sdk.ChannelAdapter for one SMTP server.

    Where the server offers PIPELINING (RFC 2920), the commands of a mail are sent together, and those of the next
    mail right behind the content of the last: one round trip for each mail instead of four. What a reply says of a
    mail does not change by that: content is never sent before its recipient was accepted.
    """

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
        self._pipelining = False
        self._announced: _Mail | None = None
        """The mail whose commands were sent already, on this connection."""

    def send(self, batch: Sequence[OutboundMessage], ctx: ChannelContext) -> list[SendResult]:
        """Send each message in its own transaction.

        Outcomes: 250 after the data is accepted, 4xx temporary, 5xx permanent, of a bad address where the status code
        says so; refusals of the sender or of our login are temporary, for they say nothing about the recipient. Lost
        before the data: temporary. Lost after it, before the answer: unknown. Once the server cannot be reached, the
        rest of the batch is temporary, not tried.
        """
        results: list[SendResult] = []
        made: dict[int, _Mail | BadMessage] = {}

        def mail(number: int) -> _Mail | BadMessage:
            if number not in made:
                try:
                    made[number] = _mail(batch[number], ctx, self._signer)
                except BadMessage as error:
                    made[number] = error
            return made[number]

        def following(number: int) -> _Mail | None:
            found = mail(number + 1) if number + 1 < len(batch) else None
            return found if isinstance(found, _Mail) else None

        unreachable = ""
        for number in range(len(batch)):
            if unreachable:
                results.append(SendResult(Outcome.TEMPORARY, reason=f"not tried: {unreachable}"))
                continue
            ready = mail(number)
            made.pop(number)
            if isinstance(ready, BadMessage):
                results.append(SendResult(Outcome.PERMANENT, reason=str(ready)))
                continue
            try:
                results.append(self._send_one(ready, partial(following, number)))
            except _NotSent as error:
                unreachable = str(error)
                results.append(SendResult(Outcome.TEMPORARY, reason=unreachable))
            except _Lost as error:
                # The provider id is known all the same, so that a bounce or a complaint can still be matched.
                results.append(SendResult(Outcome.UNKNOWN, ready.mail_id, str(error)))
        return results

    def parse_callback(self, request: CallbackRequest, ctx: ChannelContext) -> list[DeliveryReport]:
        """Read a mail with a delivery report (RFC 3464) or a complaint (RFC 5965).

        Raises ValueError for one that cannot be read, CallbackRefused for a request without the secret.
        """
        require_secret(request, ctx.settings["report_secret_header"], ctx.settings["report_secret"])
        return parse_report(request.body)

    def close(self) -> None:
        """Say good-bye to the server."""
        server = self._server
        self._forget()
        if server is not None:
            with suppress(OSError, smtplib.SMTPException):
                server.quit()
            server.close()

    def _send_one(self, mail: _Mail, following: _Following) -> SendResult:
        reused = self._server is not None
        try:
            return self._transaction(mail, following)
        except _NotSent:
            if not reused:
                raise
        # Servers close idle connections. Nothing of this message was handed over, so once more on a new one
        # is safe.
        return self._transaction(mail, following)

    def _transaction(self, mail: _Mail, following: _Following) -> SendResult:
        server = self._server or self._connect()
        self._server = server
        replies = self._ask_together(server, mail) if self._pipelining else self._ask(server, mail)
        code, reply = replies[0]
        if code != 250:
            # 552 is about the size of this very message; all else here is about the sender.
            outcome = Outcome.PERMANENT if code == 552 else Outcome.TEMPORARY
            return self._refused(server, outcome, f"sender refused: {code} {reply}", replies)
        code, reply = replies[1]
        if code not in (250, 251):
            outcome = _outcome(code)
            bad = outcome is Outcome.PERMANENT and blames_address(reply)
            return self._refused(server, outcome, f"{code} {reply}", replies, bad_address=bad)
        code, reply = replies[2]
        if code != 354:
            return self._refused(server, _outcome(code), f"{code} {reply}", replies)
        code, reply = self._hand_over(server, mail.data, following)
        if 200 <= code < 300:
            return SendResult(Outcome.ACCEPTED, mail.mail_id)
        if code == 421:
            self._drop()
        return SendResult(_outcome(code), reason=f"{code} {reply}")

    def _ask(self, server: smtplib.SMTP, mail: _Mail) -> list[_Reply]:
        """Send the commands one by one, up to the first that is refused, and return the replies."""
        replies = []
        for line, accepted in zip(_sized(server, mail), _ACCEPTED, strict=True):
            replies.append(self._command(server, line))
            if replies[-1][0] not in accepted:
                break
        return replies

    def _ask_together(self, server: smtplib.SMTP, mail: _Mail) -> list[_Reply]:
        """Send the commands together, unless that was done before, and return the replies."""
        replies: list[_Reply] = []
        try:
            if self._announced is not mail:
                server.send("\r\n".join((*_sized(server, mail), "")))
            self._announced = None
            for _ in mail.commands:
                code, text = server.getreply()
                replies.append((code, _decode(text)))
                if code == 421:  # nothing more will come
                    break
        except (OSError, smtplib.SMTPException) as error:
            self._drop()
            raise _NotSent(f"connection lost at {_STEPS[len(replies)]}: {_text(error)}") from error
        except BaseException:
            self._drop()
            raise
        return replies

    def _hand_over(self, server: smtplib.SMTP, data: bytes, following: _Following) -> _Reply:
        if data.startswith(b".") or b"\n." in data:
            data = data.replace(b"\n.", b"\n..")
        # Content and the next commands in one piece: they cost one system call, and the server one reading.
        ahead = following() if self._pipelining else None
        commands = "" if ahead is None else "\r\n".join((*_sized(server, ahead), ""))
        try:
            server.send(b"".join((data, b".\r\n", commands.encode("ascii"))))
            self._announced = ahead
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

    def _refused(
        self,
        server: smtplib.SMTP,
        outcome: Outcome,
        reason: str,
        replies: Sequence[_Reply],
        *,
        bad_address: bool = False,
    ) -> SendResult:
        """Leave the connection fit for the next message."""
        codes = [code for code, _ in replies]
        if 421 in codes:  # the server is closing
            self._drop()
        else:
            with suppress(_NotSent):
                if len(codes) == len(_STEPS) and codes[-1] == 354:
                    # It waits for content although nobody is to have it: none, as RFC 2920 (3.1) says.
                    self._command(server, ".")
                if self._command(server, "RSET")[0] != 250:
                    self._drop()
        return SendResult(outcome, reason=reason, bad_address=bad_address)

    def _command(self, server: smtplib.SMTP, line: str) -> _Reply:
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
            self._pipelining = server.has_extn("pipelining")
            assert server.sock is not None
            # Commands behind content must not wait until the server has acknowledged the content.
            server.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        except (OSError, smtplib.SMTPException) as error:
            if server is not None:
                server.close()
            raise _NotSent(f"no session with {where}: {_text(error)}") from error
        return server

    def _drop(self) -> None:
        server = self._server
        self._forget()
        if server is not None:
            server.close()

    def _forget(self) -> None:
        self._server, self._announced = None, None


def _mail(message: OutboundMessage, ctx: ChannelContext, signer: Signer | None) -> _Mail:
    """Make a message ready for the wire, and sign it; raises BadMessage."""
    sender = address(message.bounce_address or message.from_address, "bounce_address")
    recipient = address(message.to, "to")
    commands = (f"MAIL FROM:<{sender}>", f"RCPT TO:<{recipient}>", "DATA")
    data = build(message, ctx.now)
    if signer is not None:
        data = signer.header(data) + data
    return _Mail(commands, data, message_id(message))


def _sized(server: smtplib.SMTP, mail: _Mail) -> tuple[str, str, str]:
    """Return the commands, with the size for a server that wants to know it."""
    if not server.has_extn("size"):
        return mail.commands
    first, second, third = mail.commands
    return f"{first} SIZE={len(mail.data)}", second, third


def _outcome(code: int) -> Outcome:
    return Outcome.PERMANENT if 500 <= code < 600 and code not in _OUR_FAULT else Outcome.TEMPORARY


def _decode(reply: bytes) -> str:
    return " ".join(reply.decode("utf-8", "replace").split())[:300]


def _text(error: Exception) -> str:
    if isinstance(error, smtplib.SMTPResponseException):
        reply = error.smtp_error
        return f"{error.smtp_code} {_decode(reply) if isinstance(reply, bytes) else reply}"
    return f"{type(error).__name__}: {error}"
