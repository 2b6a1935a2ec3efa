"""Campaign's limits in tests: channels that write down what they get, and any number of senders."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any
from uuid import UUID

import pluggy
import sqlalchemy as sa
from rapport_sdk import (
    Capabilities,
    Channel,
    ChannelContext,
    DeliveryReport,
    OutboundMessage,
    Outcome,
    SendResult,
    Settings,
)

from services.campaign.domain.hours import Hours
from services.campaign.domain.ledger import NewMessage
from services.campaign.domain.policies import Cap, Policy
from services.campaign.domain.rates import RateLimit, default_burst
from services.campaign.models import campaign, message, metadata
from services.campaign.store import ledger
from services.campaign.usecases import policies, rates
from services.campaign.usecases.sending import Sender
from services.kit.clock import Clock, FixedClock
from services.kit.config import load_settings
from services.kit.locks import Locks
from services.kit.names import new_id
from services.kit.plugins import PluginManager, PluginSource
from services.kit.runtime import Runtime, make_runtime
from tests.support.campaign import NOW, World, make_template, neighbours

FAST, OTHER, SURE = "tape.fast", "tape.other", "tape.sure"
ACCEPTED = SendResult(Outcome.ACCEPTED)


@dataclass
class Tape:
    """Take messages and note them, from any number of senders.

    answer: what becomes of a message of a channel, and whatever else is to happen then. taken: what was accepted, as
    (channel, message). calls: how many messages each call had.
    """

    answer: Callable[[str, OutboundMessage], SendResult] = lambda channel, item: ACCEPTED
    taken: list[tuple[str, OutboundMessage]] = field(default_factory=list)
    tried: list[tuple[str, OutboundMessage]] = field(default_factory=list)
    calls: list[int] = field(default_factory=list)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def of(self, channel: str) -> list[OutboundMessage]:
        """Return what a channel took."""
        return [item for name, item in self.taken if name == channel]


class _Adapter:
    def __init__(self, tape: Tape, channel: str) -> None:
        self._tape = tape
        self._channel = channel

    def send(self, batch: Sequence[OutboundMessage], ctx: ChannelContext) -> list[SendResult]:
        self._tape.calls.append(len(batch))
        results = []
        for item in batch:
            result = self._tape.answer(self._channel, item)
            results.append(result)
            with self._tape.lock:
                self._tape.tried.append((self._channel, item))
                if result.outcome is Outcome.ACCEPTED:
                    self._tape.taken.append((self._channel, item))
        return results

    def parse_callback(self, request: Any, ctx: ChannelContext) -> list[DeliveryReport]:
        return []

    def close(self) -> None:
        pass


def tape_plugin(tape: Tape) -> PluginSource:
    """Return a plugin whose channels write to a tape."""

    def opener(name: str) -> Callable[[Settings], _Adapter]:
        return lambda settings: _Adapter(tape, name)

    class Plugin:
        @pluggy.HookimplMarker("rapport")
        def rapport_channels(self) -> list[Channel]:
            return [
                Channel(
                    name,
                    Capabilities("email", idempotent=name == SURE),
                    opener(name),
                    doc="Writes to a tape.",
                )
                for name in (FAST, OTHER, SURE)
            ]

    return PluginSource("tape", Plugin)


@dataclass
class Hall:
    """A database of campaign, contacts to write to, two channels, and senders as many as wanted."""

    runtime: Runtime
    world: World
    tape: Tape
    manager: PluginManager
    locks: list[Locks] = field(default_factory=list)

    def sender(self, **options: Any) -> Sender:
        """Make a sender; it does not mind a slow machine unless it is told."""
        locks = Locks(self.runtime.db.engine)
        self.locks.append(locks)
        return Sender(self.runtime, self.manager, locks, **({"call_seconds": 60} | options))

    def empty(self) -> None:
        """Forget everything."""
        while self.locks:
            self.locks.pop().close()
        with self.runtime.db.transaction() as connection:
            for table in reversed(metadata.sorted_tables):
                connection.execute(sa.delete(table))
        self.world.__dict__.update(World(members={}).__dict__)
        self.tape.__dict__.update(Tape().__dict__)
        if isinstance(self.runtime.clock, FixedClock):
            self.runtime.clock.instant = NOW
        make_template(self.runtime, text="Hello")

    def campaign(self, people: Sequence[str], key: str = "spring", **values: str) -> None:
        """Store a campaign whose audience is planned already."""
        made = {"channel": FAST, "topic": "marketing", "state": "sending"} | values
        now = self.runtime.clock.now()
        row = {
            "id": key,
            "display_name": key,
            "segment": "segments/all",
            "template_id": "hello",
            "coupon_pool_id": "",
            "planned": True,
            "create_time": now,
            "launch_time": now,
        }
        model = NewMessage(
            id=new_id(),
            origin=f"campaigns/{key}",
            lane=f"campaigns/{key}",
            contact_id=None,
            channel=made["channel"],
            topic=made["topic"],
            template_id="hello",
        )
        with self.runtime.db.transaction() as connection:
            connection.execute(sa.insert(campaign).values(row | made))
            contacts = [UUID(name.partition("/")[2]) for name in people]
            ledger.plan_campaign(connection, model, [new_id() for _ in people], contacts, now)

    def policy(self, key: str = "default", **values: Any) -> Policy:
        """Set a policy for all messages."""
        given: dict[str, Any] = {
            "channel": "",
            "topic": "",
            "hours": Hours(),
            "caps": (),
            "transactional": False,
            "defer": False,
            "revision": 0,
            "create_time": NOW,
            "update_time": NOW,
        }
        return policies.set_policy(self.runtime, Policy(id=key, **(given | values)), "")

    def limit(self, per_second: float, key: str = "all", burst: int = 0, **values: Any) -> None:
        """Set a limit of the fast channel."""
        given: dict[str, Any] = {
            "channels": (FAST,),
            "domain": "",
            "count": 1000,
            "period": timedelta(seconds=1000 / per_second),
            "burst": burst or default_burst(per_second),
            "revision": 0,
            "create_time": NOW,
            "update_time": NOW,
        }
        rates.set_limit(self.runtime, RateLimit(id=key, **(given | values)), "")

    def rows(self) -> list[Any]:
        """Return the ledger."""
        with self.runtime.db.read() as connection:
            return list(connection.execute(sa.select(message).order_by(message.c.id)))


def drain(sender: Sender) -> None:
    """Send until nothing is due, or may go, any more."""
    while sender.run_once():
        pass


def run_until(senders: Sequence[Sender], done: Callable[[], bool], seconds: float = 60) -> None:
    """Let senders work in threads as their process does, until something is done; fails after so many seconds."""
    stop = threading.Event()
    problems: list[BaseException] = []

    def work(sender: Sender) -> None:
        try:
            while not stop.is_set():
                if not sender.run_once():
                    stop.wait(sender.wait_seconds(0.2))
        except BaseException as error:
            problems.append(error)

    threads = [threading.Thread(target=work, args=(sender,)) for sender in senders]
    for thread in threads:
        thread.start()
    until = time.monotonic() + seconds
    try:
        while not done() and not problems:
            assert time.monotonic() < until, "it is not done"
            stop.wait(0.02)
    finally:
        stop.set()
        for thread in threads:
            thread.join()
    assert not problems, problems


def cap(count: int, **period: float) -> Cap:
    """Return a cap over all channels and topics."""
    return Cap(count, timedelta(**period))


@contextmanager
def open_hall(database_url: str, clock: Clock) -> Iterator[Hall]:
    """Give a hall on a database that has its schema."""
    world, tape = World(members={}), Tape()
    with neighbours(world) as address:
        settings = load_settings(
            campaign_database_url=database_url,
            secret_key="k" * 32,
            address=address,
            events_address=address,
            mail_domain="shop.test",
            time_zone="Europe/Berlin",
            database_pool_size=24,
        )
        runtime = make_runtime("campaign", "sender", settings, clock=clock)
        manager = PluginManager(("tape",), ("tape",), {}, sources=[tape_plugin(tape)])
        manager.load()
        hall = Hall(runtime, world, tape, manager)
        try:
            yield hall
        finally:
            hall.empty()
            runtime.close()
