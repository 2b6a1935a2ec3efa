"""The API process as it is run: ports, readiness, an orderly end, and clear refusals."""

from __future__ import annotations

import os
import secrets
import signal
import socket
import subprocess
import sys
import urllib.error
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from rapport_client import Rapport, errors

from services.kit.auth import create_tokens
from services.kit.config import Settings
from services.kit.db import make_engine
from tests.support.echo import make_client
from tests.support.toy import free_base_port
from tests.support.toyapi import models
from tests.support.waiting import until

ROOT = Path(__file__).parents[3]


class Process:
    """A real API process of the toy service under the name `contacts`."""

    def __init__(self, folder: Path, url: str) -> None:
        self.folder = folder
        self.log = folder / "log"
        self.tokens = create_tokens(folder / "tokens.json")
        self.settings = Settings(base_port=free_base_port(), data_dir=folder)
        self.environment = {
            **{key: value for key, value in os.environ.items() if not key.startswith("RAPPORT_")},
            "PYTHONPATH": f"{ROOT}{os.pathsep}{ROOT / 'protos'}{os.pathsep}{ROOT / 'protos' / 'gen'}",
            "RAPPORT_DATA_DIR": str(folder),
            "RAPPORT_BASE_PORT": str(self.settings.base_port),
            "RAPPORT_CONTACTS_DATABASE_URL": url,
            "RAPPORT_CLOCK": "fixed:2011-12-10T00:00:00Z",
            "RAPPORT_SECRET_KEY": secrets.token_hex(16),
            "RAPPORT_TOKEN": self.tokens["contacts"],
            "RAPPORT_SHUTDOWN_GRACE_SECONDS": "20",
            "TOY_GATES": str(folder),
        }
        self.process: subprocess.Popen[bytes] | None = None
        self._channels: list[grpc.Channel] = []

    def start(self, package: str = "tests.support.toyapi", **environment: str) -> Process:
        """Start it; does not wait."""
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "services.kit.process", "contacts", "--package", package],
                cwd=ROOT,
                env=self.environment | environment,
                stdout=log,
                stderr=log,
            )
        return self

    def healthz(self) -> int:
        """Return the status of /healthz; 0 while nobody answers."""
        assert self.process is not None
        assert self.process.poll() is None, self.log.read_text()
        try:
            with urllib.request.urlopen(
                f"http://127.0.0.1:{self.settings.metrics_port('contacts', 'api')}/healthz"
            ) as page:
                return int(page.status)
        except urllib.error.HTTPError as error:
            return error.code
        except OSError:
            return 0

    def ready(self) -> Process:
        """Wait until it serves."""
        until(lambda: self.healthz() == 200, "the API process serves")
        return self

    def channel(self, port: int | None = None) -> grpc.Channel:
        """Return a channel to it."""
        channel = grpc.insecure_channel(f"127.0.0.1:{port or self.settings.port('contacts')}")
        self._channels.append(channel)
        return channel

    def client(self):
        """Return a client of its EchoService."""
        metadata = (("authorization", f"Bearer {self.tokens['owner']}"),)
        return make_client(self.channel(), metadata=lambda: metadata)

    def wait(self) -> int:
        """Wait for its end."""
        assert self.process is not None
        return self.process.wait(60)

    def close(self) -> None:
        """End it."""
        for channel in self._channels:
            channel.close()
        if self.process is not None and self.process.poll() is None:
            self.process.kill()
            self.process.wait(10)


@pytest.fixture
def process(tmp_path, make_database):
    url = make_database("contacts")
    engine = make_engine(url)
    models.metadata.create_all(engine)
    engine.dispose()
    running = Process(tmp_path, url)
    yield running
    running.close()


def test_it_serves_calls_operations_events_health_and_metrics_and_ends_with_0(process):
    process.start().ready()
    assert process.client().echo(text="clock").text == "2011-12-10T00:00:00+00:00"
    with Rapport(
        address="127.0.0.1:{port}", base_port=process.settings.base_port, token=process.tokens["owner"]
    ) as rapport:
        assert list(rapport.operations("contacts").list_operations.iterate()) == []
        assert rapport.events("contacts").get_stream().head.position == 0
    # Streams hold threads, so they have a server of their own.
    api = f"127.0.0.1:{process.settings.port('contacts')}"
    with Rapport(address=api, events_address=api, token="") as rapport, pytest.raises(errors.Unimplemented):
        rapport.events("contacts").get_stream()
    for port in (process.settings.port("contacts"), process.settings.events_port("contacts")):
        health = health_pb2_grpc.HealthStub(process.channel(port))
        assert health.Check(health_pb2.HealthCheckRequest(), timeout=20).status == 1
    metrics = urllib.request.urlopen(
        f"http://127.0.0.1:{process.settings.metrics_port('contacts', 'api')}/metrics"
    ).read()
    assert (
        b'rapport_grpc_server_calls_total{code="OK",method="rapporttest.v1.EchoService/Echo"} 1.0' in metrics
    )
    assert (process.folder / "started").exists()
    process.process.send_signal(signal.SIGTERM)
    assert process.wait() == 0
    assert (process.folder / "stopped").exists()


def failure_of(stream):
    """Return the error that ends a stream."""
    with pytest.raises(errors.RapportError) as caught:
        list(stream)
    return caught.value


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_lets_the_call_under_way_finish_and_ends_streams_at_once(process, number):
    process.start().ready()
    client = process.client()
    rapport = Rapport(
        address="127.0.0.1:{port}", base_port=process.settings.base_port, token=process.tokens["owner"]
    )
    with rapport, ThreadPoolExecutor() as pool:
        stream = rapport.events("contacts").subscribe(subscription="test")
        ended = pool.submit(failure_of, stream)
        call = pool.submit(client.echo, text="gate", _timeout=60)
        until((process.folder / "reached").exists, "the handler is at the gate")
        process.process.send_signal(number)
        until(lambda: process.healthz() in (0, 503), "the process reports that it is not ready")
        # A second signal must change nothing.
        process.process.send_signal(number)
        assert isinstance(ended.result(60), errors.Unavailable)
        assert not call.done()
        (process.folder / "open").touch()
        assert call.result(60).text == "gate"
    assert process.wait() == 0


def test_a_port_in_use_is_named_and_nothing_stays_behind(process):
    port = process.settings.port("contacts")
    with socket.socket() as other:
        other.bind(("127.0.0.1", port))
        other.listen()
        assert process.start().wait() == 1
    text = process.log.read_text()
    assert f"contacts api: 127.0.0.1:{port} (contacts API) is in use" in text
    assert "RAPPORT_BASE_PORT" in text
    assert "Traceback" not in text
    assert (process.folder / "stopped").exists()


def test_a_background_part_that_fails_stops_the_start(process):
    (process.folder / "refuse").touch()
    assert process.start().wait() == 1
    assert "contacts api: the background part does not start" in process.log.read_text()


def test_what_is_wrong_is_named_without_a_traceback(tmp_path, make_database):
    url = make_database("contacts")
    cases = {
        "RAPPORT_BASE_PORT": {"RAPPORT_BASE_PORT": "abc"},
        "RAPPORT_SECRET_KEY": {"RAPPORT_SECRET_KEY": ""},
        "/nowhere/tokens.json": {"RAPPORT_TOKENS_FILE": "/nowhere/tokens.json"},
        "cannot reach the database": {
            "RAPPORT_CONTACTS_DATABASE_URL": "postgresql://nobody@127.0.0.1:9/none"
        },
        "no module tests.support.nothing": {},
    }
    started = {}
    for number, (expected, environment) in enumerate(cases.items()):
        folder = tmp_path / str(number)
        folder.mkdir()
        package = "tests.support.nothing" if "nothing" in expected else "tests.support.toyapi"
        started[expected] = Process(folder, url).start(package, **environment)
    try:
        for expected, process in started.items():
            assert process.wait() == 1
            text = process.log.read_text()
            assert expected in text
            assert text.startswith("contacts api: ")
            assert "Traceback" not in text
    finally:
        for process in started.values():
            process.close()
