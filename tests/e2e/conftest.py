"""A whole stack, started once for the tests that share it."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import pytest
from rapport_client import Rapport

from services.cli.demo import free_base_port
from services.cli.stack import Stack
from services.demo.mailbox import Mailbox
from services.kit.clock import write_clock
from services.kit.config import SERVICES, Settings, load_settings
from services.kit.postgres import drop
from tests.support import rabbit
from tests.support.cli import Ran, run_cli
from tests.support.collector import Collector, collecting

# Each process of the run that needs the stack has one of its own.
PREFIX = f"e2e_{os.environ.get('PYTEST_XDIST_WORKER', 'main')}"
NOW = datetime(2026, 3, 2, 9, 0, tzinfo=UTC)


@dataclass
class Running:
    """A running stack with a client that may do everything, a mail server, a collector of traces, a clock to move."""

    stack: Stack
    settings: Settings
    rapport: Rapport
    mailbox: Mailbox
    urls: dict[str, str]
    clock: Path
    collector: Collector

    def set_clock(self, instant: datetime) -> None:
        write_clock(self.clock, instant)

    def command(self, *words: str) -> Ran:
        """Run the command line with the owner's token."""
        access = self.stack.access
        assert access is not None
        environment = {
            "RAPPORT_ADDRESS": access.address,
            "RAPPORT_BASE_PORT": str(self.settings.base_port),
            "RAPPORT_TOKEN": access.token,
        }
        return run_cli(*words, environment=environment)


class _RecordingStack(Stack):
    """Remember the databases' URLs, which no process is given together."""

    urls: dict[str, str]

    def prepare_databases(self) -> dict[str, str]:
        self.urls = super().prepare_databases()
        return self.urls


@pytest.fixture(scope="package")
def collector() -> Iterator[Collector]:
    with collecting() as running:
        yield running


@pytest.fixture(scope="package")
def amqp_url(request: pytest.FixtureRequest) -> str:
    """The broker of the stack, or nothing for the event streams: the laptops of the other tests run on these."""
    return rabbit.stack_url(request)


@pytest.fixture(scope="package")  # not longer: even while nothing happens a stack takes a part of the machine
def running(
    admin_url: str, amqp_url: str, tmp_path_factory: pytest.TempPathFactory, collector: Collector
) -> Iterator[Running]:
    # A folder that outlives the run for a while: its logs say why a test failed.
    folder = tmp_path_factory.mktemp("stack")
    clock = folder / "clock"
    write_clock(clock, NOW)
    mailbox = Mailbox()
    mailbox.start()
    settings = load_settings(
        data_dir=folder,
        base_port=free_base_port("127.0.0.1"),
        clock=f"file:{clock}",
        database_url=admin_url,
        secret_key="not-a-secret-in-a-test",
        amqp_url=amqp_url,
        amqp_prefix=rabbit.new_prefix(),
    )
    stack = _RecordingStack(
        settings,
        environment={
            "RAPPORT_PLUGIN_EMAIL_SMTP_HOST": mailbox.host,
            "RAPPORT_PLUGIN_EMAIL_SMTP_PORT": str(mailbox.port),
            "RAPPORT_PLUGIN_EMAIL_SMTP_SECURITY": "none",
            "RAPPORT_OTLP_ENDPOINT": collector.url,
            "RAPPORT_TRACE_RATIO": "0",  # those of a caller who asks for it, and no others
            "OTEL_BSP_SCHEDULE_DELAY": "200",
        },
        database_prefix=PREFIX,
    )
    try:
        with stack:
            stack.start()
            with stack.client(timeout=60) as rapport:
                yield Running(stack, settings, rapport, mailbox, stack.urls, clock, collector)
    finally:
        mailbox.stop()
        drop(admin_url, SERVICES, prefix=PREFIX)
