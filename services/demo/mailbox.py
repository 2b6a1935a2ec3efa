"""The customers' mail server: a real SMTP server on loopback that keeps what it is given."""

from __future__ import annotations

import email
import email.policy
import socket
import threading
from collections import Counter
from dataclasses import dataclass
from email.message import EmailMessage
from functools import cached_property
from typing import Any

from aiosmtpd.controller import Controller


@dataclass(frozen=True)
class Mail:
    """A mail as it arrived."""

    recipient: str
    content: bytes

    @cached_property
    def message(self) -> EmailMessage:
        """The mail with its headers understood, which takes many times longer than what the others need of it."""
        message = email.message_from_bytes(self.content, policy=email.policy.default)
        assert isinstance(message, EmailMessage)
        return message

    @cached_property
    def message_id(self) -> str:
        """The Message-ID."""
        return str(email.message_from_bytes(self.content.partition(b"\r\n\r\n")[0])["Message-ID"]).strip()

    @cached_property
    def text(self) -> str:
        """The plain text."""
        for part in email.message_from_bytes(self.content).walk():
            if part.get_content_type() == "text/plain":
                content = part.get_payload(decode=True)
                assert isinstance(content, bytes)
                return content.decode(part.get_content_charset("utf-8"))
        return ""


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
        with self._changed:
            self._mails.extend(Mail(recipient, envelope.content) for recipient in envelope.rcpt_tos)
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
