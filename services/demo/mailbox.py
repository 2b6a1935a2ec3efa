"""The customers' mail server: a real SMTP server on loopback that keeps what it is given."""

from __future__ import annotations

import email
import email.policy
import socket
import threading
from collections import Counter
from dataclasses import dataclass
from email.message import EmailMessage
from typing import Any

from aiosmtpd.controller import Controller


@dataclass(frozen=True, slots=True)
class Mail:
    """A mail as it arrived."""

    recipient: str
    message: EmailMessage

    @property
    def message_id(self) -> str:
        """The Message-ID."""
        return str(self.message["Message-ID"]).strip()

    @property
    def text(self) -> str:
        """The plain text."""
        part = self.message.get_body(("plain",))
        return part.get_content() if part is not None else ""


class Mailbox:
    """Accept mail for everybody on a free port of loopback."""

    def __init__(self, host: str = "127.0.0.1") -> None:
        self._mails: list[Mail] = []
        self._changed = threading.Condition()
        self.host = host
        self.port = _free_port(host)
        self._controller = Controller(self, hostname=host, port=self.port, ready_timeout=30)

    def start(self) -> None:
        """Begin to listen."""
        self._controller.start()

    def stop(self) -> None:
        """Stop listening."""
        self._controller.stop(no_assert=True)

    async def handle_DATA(self, server: Any, session: Any, envelope: Any) -> str:
        """Keep a mail; called by the SMTP server."""
        message = email.message_from_bytes(envelope.content, policy=email.policy.default)
        assert isinstance(message, EmailMessage)
        with self._changed:
            self._mails.extend(Mail(recipient, message) for recipient in envelope.rcpt_tos)
            self._changed.notify_all()
        return "250 kept"

    def mails(self, header: str = "", value: str = "") -> list[Mail]:
        """Return what arrived so far, in order; with a header, only mails that have that value in it."""
        with self._changed:
            return [mail for mail in self._mails if not header or str(mail.message.get(header, "")) == value]

    def wait_for(self, count: int, timeout: float) -> bool:
        """Wait until so many mails have arrived in all; False when the timeout (seconds) passes first."""
        with self._changed:
            return self._changed.wait_for(lambda: len(self._mails) >= count, timeout)

    def doubled(self) -> int:
        """Return how many mails arrived beyond the first with their Message-ID."""
        with self._changed:
            return sum(count - 1 for count in Counter(mail.message_id for mail in self._mails).values())


def _free_port(host: str) -> int:
    with socket.socket() as probe:
        probe.bind((host, 0))
        return int(probe.getsockname()[1])
