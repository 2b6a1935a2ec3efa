"""RabbitMQ by TLS, as `amqps://` asks for: the broker must show a certificate that is trusted."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support import rabbit
from tests.support.identity import Authority

# A worker's sockets are eventlet's, and its connections to the broker have native threads; an API's are not.
WORKER = "import eventlet; eventlet.monkey_patch(thread=False)\n"
PROGRAM = """
import sys, threading
import amqp
from services.kit.bus.amqp.broker import ERRORS, close_quietly, explain, parse_url
broker = parse_url(sys.argv[1])
def talk():
    try:
        connection = broker.connect("tls")
    except ERRORS as error:
        print("refused", explain(error, broker)[0])
        return
    channel = connection.channel()
    name = channel.queue_declare(exclusive=True).queue
    channel.basic_publish(amqp.Message("x" * 100_000), routing_key=name)
    channel.basic_consume(name, callback=lambda message: print("got", len(message.body)), no_ack=True)
    try:
        connection.drain_events(timeout=20)
        connection.drain_events(timeout=0.05)
    except TimeoutError:
        print("quiet")
    close_quietly(connection)
thread = threading.Thread(target=talk)
thread.start()
thread.join()
"""


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("authority"))


@pytest.fixture(scope="module")
def url(authority: Authority) -> Iterator[str]:
    if not rabbit.is_there() or rabbit.GIVEN:
        if rabbit.is_required() and not rabbit.GIVEN:
            pytest.fail("no rabbitmq-server on this machine")
        pytest.skip("needs a RabbitMQ server of its own")
    certificate, key = authority.issue("broker")
    with rabbit.own_node({"certfile": certificate, "keyfile": key}) as node:
        yield f"amqps://guest:guest@localhost:{node.tls_port}/"


def talk(prelude: str, url: str, trusted: Path) -> list[str]:
    """Return what a process says that sends itself a message by way of the broker."""
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", prelude + PROGRAM, url],
        env={**rabbit.clean_environment(), "SSL_CERT_FILE": str(trusted)},
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines() or [done.stderr]


@pytest.mark.parametrize("prelude", ["", WORKER], ids=["api", "worker"])
def test_messages_go_by_tls(url: str, authority: Authority, prelude: str) -> None:
    assert talk(prelude, url, authority.file) == ["got 100000", "quiet"]


@pytest.mark.parametrize("prelude", ["", WORKER], ids=["api", "worker"])
def test_a_broker_whose_certificate_nobody_trusts_is_refused(url: str, tmp_path: Path, prelude: str) -> None:
    (said,) = talk(prelude, url, Authority(tmp_path, "other").file)
    assert said.startswith("refused RabbitMQ at localhost:")
    assert "CERTIFICATE_VERIFY_FAILED" in said
