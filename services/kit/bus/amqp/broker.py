"""Where RabbitMQ is and how a connection to it is made; nothing here tells credentials to anyone."""

from __future__ import annotations

import random
import re
import socket
import ssl
from contextlib import suppress
from dataclasses import dataclass

import amqp

from services.kit.bus.address import Address, parse_address
from services.kit.bus.amqp import plain
from services.kit.errors import FailedPrecondition, Unavailable

CONNECT_SECONDS = 10.0
WRITE_SECONDS = 30.0
HEARTBEAT_SECONDS = 20
ANSWER_SECONDS = 30.0
"""How long the broker may take for an answer, such as to a declaration: it also chooses the leader of a queue then."""

CLOSE_SECONDS = 3.0
"""How long it may take for the last answer of a connection; one that is frozen or takes nothing gives none."""

OLDEST = (3, 10)

ERRORS = (amqp.AMQPError, OSError, EOFError)
"""What a broken connection, or a refusal of the broker, raises."""


@dataclass(frozen=True)
class Broker(Address):
    """Connect to the broker at an address."""

    def connect(self, name: str) -> amqp.Connection:
        """Return an open connection to one of the nodes, which shows by this name there; raises one of ERRORS."""
        plain.free_library()
        nodes = random.sample(self.nodes, len(self.nodes))
        for host, port in nodes[:-1]:
            try:
                return self._connect(host, port, name)
            except ERRORS:
                continue
        return self._connect(*nodes[-1], name)

    def _connect(self, host: str, port: int, name: str) -> amqp.Connection:
        connection = amqp.Connection(
            host=f"[{host}]:{port}" if ":" in host else f"{host}:{port}",
            userid=self.user,
            password=self.password,
            login_method="PLAIN",
            virtual_host=self.virtual_host,
            ssl={"server_hostname": host, "cert_reqs": ssl.CERT_REQUIRED} if self.secure else False,
            connect_timeout=CONNECT_SECONDS,
            write_timeout=WRITE_SECONDS,
            heartbeat=HEARTBEAT_SECONDS,
            # A machine that vanished is noticed by the heartbeat; small messages are not held back.
            socket_settings={socket.TCP_NODELAY: 1},
            client_properties={"connection_name": name, "product": "rapport"},
        )
        try:
            connection.connect()
        except BaseException:
            connection.collect()
            raise
        # The library waits without end for each answer; what comes by itself is waited for by the poller.
        connection.sock.settimeout(ANSWER_SECONDS)
        return connection


def parse_url(text: str) -> Broker:
    """Return the broker of RAPPORT_AMQP_URL; raises InvalidArgument."""
    found = parse_address(text)
    return Broker(found.nodes, found.virtual_host, found.user, found.password, found.secure)


def explain(error: BaseException, broker: Broker) -> tuple[str, bool]:
    """Return what went wrong in words, and whether an operator must act before it can work."""
    match error:
        case amqp.AccessRefused():
            # On channel 0 it is the login, whose user is no secret but whose password may be in the text.
            return f"{broker}: access refused: {_reply(error)}", True
        case amqp.PreconditionFailed() if "acknowledgement" in _reply(error):
            # It took longer for a message than `consumer_timeout` allows; the message comes again.
            return f"{broker}: {_reply(error)}; raise consumer_timeout there", True
        case amqp.PreconditionFailed():
            return (
                f"{broker}: {_reply(error)}; delete the queue that it names: its consumer makes it anew, and reads the "
                "event stream for what was in it",
                True,
            )
        case amqp.NotAllowed():
            return f"{broker}: {_reply(error)}", True
        case amqp.AMQPError():
            return f"{broker}: {_reply(error)}", False
        case TimeoutError():
            return f"{broker}: no answer in time", False
        case OSError():
            return f"{broker}: {error.strerror or error}", False
    return f"{broker}: {type(error).__name__}: {error}", False


def _reply(error: amqp.AMQPError) -> str:
    return str(getattr(error, "reply_text", "") or error or type(error).__name__)


def check(broker: Broker) -> None:
    """Raise Unavailable when the broker cannot be used, or FailedPrecondition when it is too old."""
    try:
        connection = broker.connect("check")
    except ERRORS as error:
        text, _ = explain(error, broker)
        raise Unavailable(
            f"{text}; start it, correct RAPPORT_AMQP_URL, or unset it to do without", reason="NO_BROKER"
        ) from error
    version = str(connection.server_properties.get("version", ""))
    close_quietly(connection)
    if tuple(int(part) for part in re.findall(r"\d+", version)[:2]) < OLDEST:
        raise FailedPrecondition(
            f"{broker}: version {version or 'unknown'} is too old; 3.10 is the first that has what is needed",
            reason="OLD_BROKER",
        )


def close_quietly(connection: amqp.Connection | None) -> None:
    """End a connection in whatever state it is; the broker takes back what was not acknowledged."""
    if connection is None:
        return
    try:
        hasten(connection)
        connection.close()
    except ERRORS:
        connection.collect()


def hasten(connection: amqp.Connection) -> None:
    """Wait no longer than CLOSE_SECONDS for any answer from now on; the connection is to end."""
    if connection.connected:
        connection.sock.settimeout(CLOSE_SECONDS)


def cut(connection: amqp.Connection) -> None:
    """End a connection from another thread than its own, which then finds it broken, whatever it waits for."""
    # It may be closing by itself just now.
    with suppress(*ERRORS, AttributeError):
        if connection.connected:
            connection.sock.shutdown(socket.SHUT_RDWR)


def headers(message: amqp.Message) -> dict[str, object]:
    """Return the headers of a message, which need not have any."""
    found: dict[str, object] = message.properties.get("application_headers") or {}
    return found
