"""Messages that were sent, and what comes back of them: reports as mail servers write them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import sqlalchemy as sa

from services.campaign.domain.interactions import Hit
from services.campaign.domain.ledger import NO_ENTRY, normalise_address
from services.campaign.models import link, message, metadata, template
from services.campaign.usecases import audience, interactions
from services.kit.clock import FixedClock
from services.kit.config import load_settings
from services.kit.names import new_id
from services.kit.runtime import Runtime, make_runtime
from tests.support.campaign import CHANNEL, NOW, World, clock_of
from tests.support.emptying import empty_tables

_REPORT = """\
From: MAILER-DAEMON@mx.test
To: {to}
Subject: Undelivered Mail Returned to Sender
MIME-Version: 1.0
Content-Type: multipart/report; report-type={kind}; boundary="B"

--B
Content-Type: text/plain

This is what happened.

--B
{fields}

--B
Content-Type: message/rfc822

From: care@shop.test
Reply-To: {reply}
Message-ID: <{message_id}@shop.test>
Subject: News

Hello
--B--
"""


@dataclass(frozen=True)
class SentMessage:
    """A message of the ledger."""

    id: UUID
    contact_id: UUID
    address: str
    origin: str
    reply: str


@dataclass
class Tracked:
    """Campaign with messages in its ledger, and a clock that a test moves."""

    runtime: Runtime
    world: World

    def empty(self) -> None:
        """Forget everything."""
        with self.runtime.db.transaction() as connection:
            tables = [table for table in metadata.sorted_tables if table.name != "stream"]
            empty_tables(connection, tables, restart=False)
        self.world.people.clear()
        self.world.down = False
        clock_of(self.runtime).instant = NOW

    def advance(self, **step: float) -> datetime:
        """Move the clock on and return where it stands."""
        clock: FixedClock = clock_of(self.runtime)
        clock.instant += timedelta(**step)
        return clock.instant

    def sent(
        self,
        *,
        contact: UUID | None = None,
        state: str = "sent",
        origin: str = "campaigns/spring",
        topic: str = "marketing",
        ago: float = 3600,
    ) -> SentMessage:
        """Write a message that went to a contact so many seconds ago, by itself the contact's own."""
        name = f"contacts/{contact}" if contact else self.world.add()[0]
        person = self.world.people[name]
        key, contact_id = new_id(), UUID(name.partition("/")[2])
        time = self.runtime.clock.now() - timedelta(seconds=ago)
        hashed = self.runtime.signer.mac(
            "recipient", f"email:{normalise_address('email', person.address)}".encode()
        )
        values: dict[str, Any] = {
            "id": key,
            "origin": origin,
            "lane": origin,
            "entry_id": NO_ENTRY,
            "step": int.from_bytes(key.bytes[-3:], "big"),
            "contact_id": contact_id,
            "channel": CHANNEL,
            "topic": topic,
            "template_id": "hello",
            "coupon_pool_id": "",
            "state": state,
            "reason": "",
            "attempt_count": 1,
            "due_time": time,
            "create_time": time,
            "send_time": time,
            "coupon_code": "",
            "subject": "Hello",
            "recipient_hash": hashed,
            "provider_id": "",
        }
        with self.runtime.db.transaction() as connection:
            connection.execute(sa.insert(message).values(values))
        return SentMessage(key, contact_id, person.address, origin, audience.reply_address(self.runtime, key))

    def link(self, template_id: str, number: int, url: str) -> None:
        """Give a template a static link."""
        with self.runtime.db.transaction() as connection:
            known = sa.select(template.c.id).where(template.c.id == template_id)
            if connection.execute(known).one_or_none() is None:
                values = {"id": template_id, "display_name": "", "contents": [], "revision": 1}
                connection.execute(sa.insert(template).values(**values, create_time=NOW, update_time=NOW))
            connection.execute(sa.insert(link).values(template_id=template_id, number=number, url=url))

    def hit(
        self,
        message: SentMessage,
        kind: str = "click",
        link: int = 0,
        *,
        agent: str = "browser",
        source: bytes | None = b"place---",
        after: float = 0,
    ) -> Hit:
        """Return an interaction, so many seconds from now."""
        number = link if kind == "click" else -1
        time = self.runtime.clock.now() + timedelta(seconds=after)
        return Hit(new_id(), message.id, kind, number, time, agent, source)

    def record(self, *hits: Hit) -> None:
        """Write interactions and let them settle."""
        interactions.record_hits(self.runtime, hits)
        self.advance(seconds=120)
        interactions.settle(self.runtime)

    def bounce(
        self,
        message: SentMessage,
        *,
        action: str = "failed",
        status: str = "5.1.1",
        address: str | None = None,
        reply: str | None = None,
        to: str | None = None,
        detail: str = "smtp; 550 no such user",
    ) -> bytes:
        """Return a delivery report; action "": without a word of what was done."""
        recipient = message.address if address is None else address
        fields = [
            "Content-Type: message/delivery-status",
            "",
            "Reporting-MTA: dns; mx.test",
            "",
            f"Final-Recipient: rfc822; {recipient}",
            *([f"Action: {action}"] if action else []),
            f"Status: {status}",
            f"Diagnostic-Code: {detail}",
        ]
        return self._report(message, "delivery-status", fields, reply, to)

    def complaint(
        self, message: SentMessage, *, reply: str | None = None, to: str = "postmaster@shop.test"
    ) -> bytes:
        """Return a complaint."""
        fields = ["Content-Type: message/feedback-report", "", "Feedback-Type: abuse", "Version: 1"]
        return self._report(message, "feedback-report", fields, reply, to)

    def _report(
        self, message: SentMessage, kind: str, fields: list[str], reply: str | None, to: str | None
    ) -> bytes:
        text = _REPORT.format(
            kind=kind,
            fields="\n".join(fields),
            message_id=message.id,
            reply=message.reply if reply is None else reply,
            to=message.reply if to is None else to,
        )
        return text.encode()


@contextmanager
def tracked(database_url: str, neighbours_at: str, world: World) -> Iterator[Tracked]:
    """Give campaign on a database with its tables."""
    settings = load_settings(
        campaign_database_url=database_url,
        secret_key="k" * 32,
        address=neighbours_at,
        mail_domain="shop.test",
    )
    runtime = make_runtime("campaign", "worker", settings, clock=FixedClock(NOW))
    yield Tracked(runtime, world)
    runtime.close()
