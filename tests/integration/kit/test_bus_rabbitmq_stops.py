"""Workers are told to stop while their broker answers nothing, or takes nothing."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest

from services.kit.bus.amqp.broker import close_quietly, parse_url
from tests.integration.kit.test_bus_rabbitmq import published
from tests.support import rabbit
from tests.support.postgres import DatabaseFactory
from tests.support.rabbit import Node, find_server
from tests.support.toy import Toy, eventually

IN_TIME = 15.0
"""Seconds that the supervisor of a laptop gives a worker before it kills it."""


@pytest.fixture
def node(monkeypatch: pytest.MonkeyPatch, rabbit_url: str) -> Iterator[Node]:
    with rabbit.own_node() as node:
        for name, value in rabbit.variables(node.url).items():
            monkeypatch.setenv(name, value)
        yield node


@pytest.fixture
def toy(tmp_path: Path, make_database: DatabaseFactory, node: Node) -> Iterator[Toy]:
    made = Toy(tmp_path, make_database("sales"), make_database("contacts"))
    yield made
    made.close()


@contextmanager
def frozen(node: Node) -> Iterator[None]:
    """Keep the broker from running for the block; its connections stand."""
    assert node.pid is not None
    top = psutil.Process(node.pid)
    family = [top, *top.children(recursive=True)]
    for process in family:
        os.kill(process.pid, signal.SIGSTOP)
    try:
        yield
    finally:
        for process in family:
            os.kill(process.pid, signal.SIGCONT)


def control(node: Node, *words: str) -> None:
    """Run rabbitmqctl on a node."""
    ran = subprocess.run(
        [find_server().parent / "rabbitmqctl", "--quiet", *words],
        env=node._environment(),
        capture_output=True,
        text=True,
        check=False,
    )
    assert ran.returncode == 0, ran.stdout + ran.stderr


def test_a_worker_stops_in_time_although_its_broker_is_frozen(toy: Toy, node: Node) -> None:
    toy.source.start_relay()
    toy.source.start_server()
    worker = toy.worker().start()
    said = toy.source.say("before")
    eventually(lambda: toy.effects() == said)
    eventually(toy.worker_receives)
    with frozen(node):
        # One whose answer to a declaration never comes, too.
        late = toy.worker(port_shift=1).start()
        for one in (worker, late):
            one.signal()
        for one in (worker, late):
            assert one.wait(IN_TIME) == 0
        toy.source.say("meanwhile")
        began = time.monotonic()
        toy.source.publisher.stop()
        assert time.monotonic() - began < IN_TIME
    toy.source.start_publisher()
    worker.start()
    eventually(lambda: toy.effects() == [*said, "meanwhile"])


def test_a_broker_short_of_memory_takes_nothing_and_nothing_is_lost(toy: Toy, node: Node) -> None:
    toy.source.start_relay()
    toy.source.start_server()
    worker = toy.worker().start()
    said = toy.source.say("before")
    eventually(lambda: toy.effects() == said)
    publisher = toy.source.publisher
    control(node, "set_vm_memory_high_watermark", "absolute", "1")
    said += toy.source.say(*(f"meanwhile {number}" for number in range(2000)))
    eventually(lambda: "takes no messages" in publisher.status)
    # It waits for as long as it takes, and can be stopped.
    began = time.monotonic()
    publisher.stop()
    assert time.monotonic() - began < IN_TIME
    toy.source.start_publisher()
    eventually(lambda: "takes no messages" in toy.source.publisher.status)
    control(node, "set_vm_memory_high_watermark", "absolute", "2GB")
    said += toy.source.say("after")
    eventually(lambda: toy.source.publisher.status == "publishing")
    eventually(lambda: len(toy.effects()) >= len(said), 60)
    assert toy.effects() == said
    worker.signal()
    assert worker.wait() == 0


def test_a_worker_that_loses_its_broker_while_it_stops_repeats_no_effect(toy: Toy, node: Node) -> None:
    toy.source.start_relay()
    toy.source.start_server()
    worker = toy.worker().start()
    eventually(toy.worker_receives)
    said = toy.source.say("gate:slow")
    eventually(lambda: toy.reached("slow"))
    said += toy.source.say("behind it")
    worker.signal()
    eventually(lambda: "finishing the work in hand" in worker.log.read_text())
    node.kill()
    toy.open_gate("slow")
    assert worker.wait(IN_TIME) == 0
    assert toy.effects() == ["gate:slow"]
    node.start()
    worker.start()
    said += toy.source.say("after")
    eventually(lambda: len(toy.effects()) == 3, 60)
    assert toy.effects() == said


def test_what_the_broker_refuses_is_sent_again_until_it_is_taken(toy: Toy, node: Node) -> None:
    toy.source.start_relay()
    toy.source.start_server()
    toy.worker().start()
    said = toy.source.say("before")
    eventually(lambda: toy.effects() == said)
    # Another system's queue, which is full: the broker confirms nothing that it cannot bring to all queues.
    broker = parse_url(node.url)
    connection = broker.connect("another system")
    channel = connection.channel()
    exchange = f"{toy.environment[rabbit.PREFIX_VARIABLE]}.sales"
    full = {"x-max-length": 1, "x-overflow": "reject-publish"}
    channel.queue_declare("full", durable=True, auto_delete=False, arguments=full)
    channel.queue_bind("full", exchange, "greeting.said")
    said += toy.source.say(*(f"first {number}" for number in range(600)))  # more than one message
    eventually(lambda: "could not take" in toy.source.publisher.status)
    assert published(toy) < 601
    eventually(lambda: toy.effects() == said)
    channel.queue_delete("full")
    close_quietly(connection)
    eventually(lambda: published(toy) == 601)
    said += toy.source.say("after")
    eventually(lambda: toy.effects()[-1] == "after")
    assert toy.effects() == said
