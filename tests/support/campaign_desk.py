"""The work behind campaign's API done on demand: the planning of a launch, the sending, the end of an operation.

A worker and a sender do the same in processes of their own; here a test decides when.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any
from uuid import UUID, uuid4

import sqlalchemy as sa
from rapport.campaign.v1 import campaign_pb2 as pb
from rapport_testing.smtp import SmtpServer

from services.campaign.codec import encode_counts
from services.campaign.models import kit, metadata
from services.campaign.usecases import launching
from services.campaign.usecases.sending import Sender
from services.kit.locks import Locks
from services.kit.names import parse_name
from services.kit.operations import OperationContext, OperationPaused
from services.kit.operations import store as operations
from services.kit.plugins import PluginManager
from tests.support.campaign import CHANNEL, smtp_environment
from tests.support.campaign_fakes import EVERYBODY, Directory
from tests.support.emptying import empty_tables
from tests.support.stack import NOW, Served

CONTENT = {"subject": "Hello", "text": "Hello {{ contact.given_name | default('friend', true) }}"}


class Desk:
    """The API of a running campaign service with a worker and a sender that move when they are told."""

    def __init__(self, served: Served, directory: Directory, smtp: SmtpServer, sender: Sender) -> None:
        self.served = served
        self.directory = directory
        self.smtp = smtp
        self._sender = sender

    @property
    def api(self) -> Any:
        """The client with the owner's token."""
        return self.served.client

    def empty(self) -> None:
        """Forget everything."""
        with self.served.runtime.db.transaction() as connection:
            tables = [table for table in metadata.sorted_tables if table is not kit.stream]
            empty_tables(connection, tables, restart=False)
        self.served.close_clients()
        self.served.clock.instant = NOW
        self.directory.clear()
        self.smtp.forget()

    def template(self, key: str = "hello", **content: str) -> str:
        """Create a template with one content and return its name."""
        contents = [{**CONTENT, **content}]
        made = self.api.create_template(template_id=key, template={"contents": contents})
        return str(made.template.name)

    def pool(self, key: str = "gift", **fields: Any) -> str:
        """Create a pool and return its name."""
        made = self.api.create_coupon_pool(coupon_pool_id=key, coupon_pool={"prefix": "GIFT", **fields})
        return str(made.coupon_pool.name)

    def campaign(self, key: str = "spring", **fields: Any) -> str:
        """Create a campaign to everybody with the template `hello` and return its name."""
        return str(self.api.create_campaign(campaign_id=key, campaign=draft(**fields)).campaign.name)

    def plan(self, operation: Any) -> None:
        """Do a launch up to the point where its audience is planned, and stop as a worker stops."""
        context = self._claim(operation, lambda: bool(context.state.get("planned")))
        try:
            launching.launch(self.served.runtime, context)
        except OperationPaused:
            return
        raise AssertionError("the launch went on after its audience was planned")

    def finish(self, operation: Any) -> None:
        """Do the rest of a launch whose messages are all accounted for, and record its result."""
        context = self._claim(operation, lambda: False)
        counts = launching.launch(self.served.runtime, context)
        with self.served.runtime.db.transaction() as connection:
            key = parse_name(operation.name, "operations")
            attempt = connection.execute(
                sa.select(kit.operation.c.attempt).where(kit.operation.c.id == key)
            ).scalar_one()
            result = pb.LaunchCampaignResult(counts=encode_counts(counts))
            assert operations.finish(connection, kit, key, attempt, result, self.served.clock.now())

    def launch(self, name: str) -> Any:
        """Launch a campaign, plan its audience and return the operation."""
        operation = self.api.launch_campaign(name=name).operation
        self.plan(operation)
        return operation

    def send(self) -> int:
        """Send what is due and return how many messages were taken in hand."""
        total = 0
        while count := self._sender.run_once():
            total += count
        return total

    def tell(self) -> None:
        """Let the sender write down how it finds its channels, as it does every few seconds."""
        self._sender._next_upkeep = 0.0
        self._sender.run_once()

    def coupon(self, contact: str | None = None, pool: str = "couponPools/gift") -> Any:
        """Send a contact one message with a coupon of a pool and return the message."""
        contact = contact or self.directory.add(segment="")
        segment = f"segments/s{uuid4().hex}"
        self.directory.members[segment] = {contact}
        name = self.campaign(f"c{uuid4().hex}", segment=segment, coupon_pool=pool)
        self.launch(name)
        self.send()
        [message] = self.api.list_messages(origin=name).messages
        assert message.state == pb.Message.STATE_SENT, message
        return message

    def _claim(self, operation: Any, stopping: Callable[[], bool]) -> OperationContext:
        key: UUID = parse_name(operation.name, "operations")
        with self.served.runtime.db.transaction() as connection:
            claimed = operations.claim(connection, kit, key)
        assert claimed is not None, f"{operation.name} is done"
        return OperationContext(self.served.runtime.db, kit, claimed, stopping)


def draft(**fields: Any) -> dict[str, Any]:
    """Return a campaign to be created."""
    return {
        "segment": EVERYBODY,
        "template": "templates/hello",
        "channel": CHANNEL,
        "topic": "marketing",
        **fields,
    }


@contextmanager
def open_desk(served: Served, directory: Directory, smtp: SmtpServer) -> Iterator[Desk]:
    """Give a desk whose sender speaks to a mail server."""
    manager = PluginManager(("email",), (), smtp_environment(smtp.port))
    manager.load()
    locks = Locks(served.runtime.db.engine)
    sender = Sender(served.runtime, manager, locks, call_seconds=60)
    try:
        yield Desk(served, directory, smtp, sender)
    finally:
        sender.close()
        locks.close()
