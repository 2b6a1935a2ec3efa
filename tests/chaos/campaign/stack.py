"""The processes of the chaos run, each of which can be killed and started again."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from datetime import timedelta
from pathlib import Path

import sqlalchemy as sa
from rapport_sdk.names import plugin_of

from services.campaign import channels
from services.campaign.models import message
from services.kit.clock import FixedClock, write_clock
from services.kit.config import load_settings
from services.kit.plugins import PluginHost
from services.kit.postgres import EmbeddedPostgres
from services.kit.runtime import Runtime, make_runtime
from tests.chaos.campaign.receiver import count
from tests.support.campaign import (
    CHANNEL,
    NOW,
    ROOT,
    SenderProcess,
    World,
    make_campaign,
    make_pool,
    make_template,
    neighbours,
    plan,
    start_sender,
)
from tests.support.postgres import DatabaseFactory
from tests.support.waiting import until

_SECRET = "k" * 32
_CAMPAIGN = "chaos"


class Receiver:
    """The mail server: a process and its journal."""

    def __init__(self, folder: Path) -> None:
        self.journal = folder / "received.txt"
        self._process: subprocess.Popen[str] | None = None
        self.port = 0
        self.start()

    def start(self) -> None:
        """Listen, on the same port as before."""
        self._process = subprocess.Popen(
            [
                sys.executable,
                "-m",
                "tests.chaos.campaign.receiver",
                f"--port={self.port}",
                f"--journal={self.journal}",
            ],
            cwd=ROOT,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self._process.stdout is not None
        self.port = int(self._process.stdout.readline())

    def kill(self) -> None:
        """End it as a crash does."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            assert self._process.stdout is not None
            self._process.stdout.close()
            self._process = None


class Stack:
    """A campaign's database server, senders, neighbours and mail server."""

    def __init__(
        self, folder: Path, server: EmbeddedPostgres, url: str, runtime: Runtime, neighbours_at: str
    ) -> None:
        self.server = server
        self.runtime = runtime
        self.receiver = Receiver(folder)
        self.senders: list[SenderProcess | None] = []
        self._folder = folder
        self._url = url
        self._neighbours_at = neighbours_at
        self._now = NOW
        write_clock(folder / "clock", NOW)

    def start_sender(self, index: int) -> None:
        """Start a sender in a place, which is new or whose sender was killed."""
        made = start_sender(
            self._folder,
            self._url,
            _SECRET,
            self._neighbours_at,
            self.receiver.port,
            f"file:{self._folder / 'clock'}",
        )
        self.senders[index : index + 1] = [made]

    def kill_sender(self, index: int) -> None:
        """End a sender as a crash does."""
        victim = self.senders[index]
        assert victim is not None
        victim.kill()
        self.senders[index] = None

    def kill_database(self) -> None:
        """End the database server as a crash does; its sessions notice that and end as well."""
        assert self.server.pid is not None
        os.kill(self.server.pid, signal.SIGKILL)
        until(lambda: not self.server.alive(), "the postmaster is gone")

    def received(self) -> int:
        """Return how many messages the mail server has on disk, doubled ones included."""
        return count(self.receiver.journal)

    def states(self) -> dict[str, str]:
        """Return the state of each message of the ledger by its id."""
        query = sa.select(sa.cast(message.c.id, sa.Text), message.c.state)
        with self.runtime.db.read() as connection:
            return dict(tuple(row) for row in connection.execute(query))

    def open(self) -> int:
        """Return how many messages are not accounted for yet."""
        query = sa.select(sa.func.count()).where(message.c.state.in_(["planned", "claimed", "sending"]))
        with self.runtime.db.read() as connection:
            return int(connection.scalar(query) or 0)

    def waiting(self) -> bool:
        """Tell whether all that is open waits for a later time, such as a second attempt."""
        query = sa.select(message.c.id).where(
            message.c.state.in_(["claimed", "sending"])
            | ((message.c.state == "planned") & (message.c.due_time <= self._now))
        )
        with self.runtime.db.read() as connection:
            return connection.execute(query.limit(1)).first() is None

    def pass_time(self, time: timedelta) -> None:
        """Move the business clock."""
        self._now += time
        write_clock(self._folder / "clock", self._now)

    def logs(self) -> str:
        """Return what the senders wrote, for a failure."""
        return "\n".join(path.read_text() for path in sorted(self._folder.glob("sender-*.log")))

    def close(self) -> None:
        """End all processes but the database's."""
        for sender in self.senders:
            if sender is not None:
                sender.kill()
        self.receiver.kill()


@contextmanager
def open_stack(folder: Path, messages: int, senders: int) -> Iterator[Stack]:
    """Give a stack whose campaign is planned, with so many messages and senders that have begun.

    The database server is one of its own, as durable as in production.
    """
    with ExitStack() as ends:
        server = EmbeddedPostgres(folder / "postgres", throwaway=True)
        ends.callback(server.destroy)
        server.start()
        make_database = DatabaseFactory(server.admin_url)
        url = make_database.with_tables("campaign")
        world = World()
        world.add(messages)
        address = ends.enter_context(neighbours(world))
        settings = load_settings(
            campaign_database_url=url, secret_key=_SECRET, address=address, mail_domain="shop.test"
        )
        runtime = make_runtime("campaign", "worker", settings, clock=FixedClock(NOW))
        ends.callback(runtime.close)
        host = PluginHost(allowed=(plugin_of(CHANNEL),), environment={})
        channels.provide(runtime, host)
        ends.callback(channels.release, runtime)
        make_template(runtime)
        make_pool(runtime)
        make_campaign(runtime, _CAMPAIGN, coupon_pool_id="gift")
        stack = Stack(folder, server, url, runtime, address)
        ends.callback(stack.close)
        for index in range(senders):
            stack.start_sender(index)
        plan(runtime, _CAMPAIGN)
        yield stack


def names_of(senders: int) -> Sequence[str]:
    """Return what can be killed."""
    return [*(f"sender {index + 1}" for index in range(senders)), "PostgreSQL", "SMTP server"]
