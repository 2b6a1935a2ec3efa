"""Care with its neighbours: mails, signed addresses, and servers that stand at the other services' ports."""

from __future__ import annotations

import random
import socket
import threading
from collections.abc import Iterator, Mapping
from concurrent import futures
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID, uuid4

import sqlalchemy as sa
from rapport.campaign.v1 import campaign_pb2, campaign_pb2_grpc, tracking_pb2, tracking_pb2_grpc
from rapport.contacts.v1 import contacts_pb2, contacts_pb2_grpc
from rapport.sales.v1 import sales_pb2, sales_pb2_grpc
from rapport.segmentation.v1 import segmentation_pb2, segmentation_pb2_grpc
from rapport_client.errors import NotFound as NotThere

from services.care.models import kit
from services.care.store.setup import Queue
from services.care.usecases import setup
from services.kit.auth import TokenStore
from services.kit.config import SERVICES
from services.kit.errors import AlreadyExists, NotFound
from services.kit.grpc.server import ApiServer
from services.kit.runtime import Runtime
from services.kit.signing import CASE, CONTACT, MESSAGE
from tests.support.stack import Served

DOMAIN = "rapport.localhost"


def free_base_port() -> int:
    """Return a base port of which all ports that care and its neighbours use are free now."""
    while True:
        base = random.randrange(10_000, 31_000)
        try:
            for offset in (1, 2, 3, 4, 5, 15, 25, 35, 45):
                with socket.socket() as probe:
                    probe.bind(("127.0.0.1", base + offset))
        except OSError:
            continue
        return base


def mail(
    text: str = "Where is my order?",
    *,
    sender: str = "customer@example.test",
    subject: str = "My order",
    message_id: str | None = "",
    headers: str = "",
) -> bytes:
    """Return a plain mail; message_id: empty for a new one, None for none; headers: more lines, each with its end."""
    own = (
        f"Message-ID: <{uuid4().hex}@example.test>\r\n"
        if message_id == ""
        else f"Message-ID: {message_id}\r\n"
    )
    return (
        f"From: Customer <{sender}>\r\nSubject: {subject}\r\n{'' if message_id is None else own}{headers}"
        f"Content-Type: text/plain; charset=utf-8\r\n\r\n{text}\r\n"
    ).encode()


def reply_address(runtime: Runtime, kind: str, key: UUID) -> str:
    """Return the address that continues a case (CASE) or answers a message of campaign (MESSAGE)."""
    assert kind in (CASE, MESSAGE)
    return f"reply+{runtime.signer.sign(kind, key.bytes)}@{DOMAIN}"


def unsubscribe_address(runtime: Runtime, contact: UUID, topic: str = "marketing") -> str:
    """Return the address by which a contact unsubscribes."""
    return f"u+{topic}.{runtime.signer.sign(CONTACT, contact.bytes)}@{DOMAIN}"


def case_id(name: str) -> UUID:
    """Return the id in a case's name."""
    return UUID(name.removeprefix("cases/"))


def events(runtime: Runtime, kind: str = "") -> list[Any]:
    """Return the rows of the outbox in the order of their making; kind: only those of this type."""
    query = sa.select(kit.outbox).order_by(kit.outbox.c.id)
    if kind:
        query = query.where(kit.outbox.c.type == kind)
    with runtime.db.read() as connection:
        return list(connection.execute(query))


def make_agents(runtime: Runtime, *ids: str, capacity: int = 0) -> None:
    """Create agents who are available."""
    for key in ids:
        with runtime.db.transaction() as connection:
            setup.create_agent(runtime, connection, key, key.title(), True, capacity)


def make_queue(runtime: Runtime, *agents: str, key: str = "main", **values: Any) -> Queue:
    """Create the default queue, or another one."""
    fields: dict[str, Any] = {
        "display_name": key,
        "calendar_id": None,
        "targets": {},
        "default_queue": key == "main",
        "reply_channel": "",
    }
    with runtime.db.transaction() as connection:
        return setup.create_queue(runtime, connection, Queue(id=key, agents=agents, **(fields | values)))


@dataclass
class Campaign(  # type: ignore[misc]
    campaign_pb2_grpc.CampaignServiceServicer, tracking_pb2_grpc.TrackingServiceServicer
):
    """Stand in for campaign: a ledger by request id, and the reports it was given."""

    messages: dict[str, campaign_pb2.Message] = field(default_factory=dict)
    sent: dict[str, campaign_pb2.SendMessageRequest] = field(default_factory=dict)
    calls: list[str] = field(default_factory=list)
    reports: list[tracking_pb2.ReportDeliveryRequest] = field(default_factory=list)
    changed: threading.Condition = field(default_factory=threading.Condition)

    def went_to(self, contact: str) -> UUID:
        """Make a message to a contact (empty: to an address alone) and return its id."""
        key = uuid4()
        self.messages[f"messages/{key}"] = campaign_pb2.Message(name=f"messages/{key}", contact=contact)
        return key

    def GetMessage(self, request: Any, context: Any) -> Any:
        """Return a message."""
        if request.name not in self.messages:
            raise NotFound.resource(request.name)
        return campaign_pb2.GetMessageResponse(message=self.messages[request.name])

    def ListMessages(self, request: Any, context: Any) -> Any:
        """Return the messages of a contact."""
        found = [message for message in self.messages.values() if message.contact == request.contact]
        return campaign_pb2.ListMessagesResponse(messages=found)

    def SendMessage(self, request: Any, context: Any) -> Any:
        """Write a message, once for each request id."""
        with self.changed:
            self.calls.append(request.request_id)
            known = self.sent.setdefault(request.request_id, request)
            self.changed.notify_all()
        if known != request:
            raise AlreadyExists("used before with another content", reason="REQUEST_ID_REUSED")
        return campaign_pb2.SendMessageResponse(message=campaign_pb2.Message(name=f"messages/{uuid4()}"))

    def ReportDelivery(self, request: Any, context: Any) -> Any:
        """Take a report."""
        self.reports.append(request)
        return tracking_pb2.ReportDeliveryResponse(outcome="OUTCOME_RECORDED")

    def wait_for(self, count: int, seconds: float = 60.0) -> None:
        """Wait until so many messages are in the ledger."""
        with self.changed:
            assert self.changed.wait_for(lambda: len(self.sent) >= count, seconds), sorted(self.sent)


class Contacts(contacts_pb2_grpc.ContactServiceServicer):  # type: ignore[misc]
    """Stand in for contacts: knows some. of: the owner and the team of those who have one."""

    def __init__(self, *names: str, of: Mapping[str, tuple[str, str]] | None = None) -> None:
        self.names = set(names)
        self.of = dict(of or {})

    def GetContact(self, request: Any, context: Any) -> Any:
        """Return a contact."""
        if request.name not in self.names:
            raise NotFound.resource(request.name)
        owner, team = self.of.get(request.name, ("", ""))
        return contacts_pb2.GetContactResponse(
            contact=contacts_pb2.Contact(name=request.name, owner=owner, team=team)
        )

    def ListActivities(self, request: Any, context: Any) -> Any:
        """Return one activity."""
        visit = contacts_pb2.Activity(contact=request.contact, type="visit")
        return contacts_pb2.ListActivitiesResponse(activities=[visit])


class Sales(sales_pb2_grpc.SalesServiceServicer):  # type: ignore[misc]
    """Stand in for sales: everybody has ordered seven times."""

    def GetContactSales(self, request: Any, context: Any) -> Any:
        """Return figures."""
        return sales_pb2.GetContactSalesResponse(order_count=7)


class Segmentation(segmentation_pb2_grpc.SegmentationServiceServicer):  # type: ignore[misc]
    """Stand in for segmentation: everybody is loyal."""

    gate: threading.Event | None = None

    def ListContactSegments(self, request: Any, context: Any) -> Any:
        """Return one segment, as soon as the gate is open."""
        if self.gate is not None:
            self.gate.wait(30)
        segment = segmentation_pb2.ContactSegment(segment="segments/loyal")
        return segmentation_pb2.ListContactSegmentsResponse(segments=[segment])

    def GetProfile(self, request: Any, context: Any) -> Any:
        """Return one trait."""
        response = segmentation_pb2.GetProfileResponse()
        response.traits["rfm"] = "555"
        return response


def _add_campaign(servicer: Any, server: Any) -> None:
    campaign_pb2_grpc.add_CampaignServiceServicer_to_server(servicer, server)  # type: ignore[no-untyped-call]
    tracking_pb2_grpc.add_TrackingServiceServicer_to_server(servicer, server)  # type: ignore[no-untyped-call]


_ADD = {
    "contacts": contacts_pb2_grpc.add_ContactServiceServicer_to_server,
    "sales": sales_pb2_grpc.add_SalesServiceServicer_to_server,
    "segmentation": segmentation_pb2_grpc.add_SegmentationServiceServicer_to_server,
    "campaign": _add_campaign,
}


_PROBE = {
    "contacts": ("get_contact", {"name": f"contacts/{uuid4()}"}),
    "sales": ("get_contact_sales", {"contact": f"contacts/{uuid4()}"}),
    "segmentation": ("get_profile", {"contact": f"contacts/{uuid4()}"}),
    "campaign": ("get_message", {"name": f"messages/{uuid4()}"}),
}


@contextmanager
def neighbour(served: Served, service: str, servicer: Any) -> Iterator[None]:
    """Serve a stand-in at the port of a service, behind the kit's guard: care's token must be good for the call."""
    settings = served.runtime.settings
    assert service in SERVICES
    server = ApiServer(
        settings.service_address(service), TokenStore(settings.effective_tokens_file), name=f"fake {service}"
    )
    server.add(lambda registry: _ADD[service](servicer, registry))  # type: ignore[no-untyped-call]
    server.start()
    try:
        # Care's client, which may have found nobody at the port before, waits a moment before it looks again.
        method, question = _PROBE[service]
        with suppress(NotThere):
            getattr(getattr(served.runtime.clients, service), method)(**question, _wait_for_ready=True)
        yield
    finally:
        server.stop(0.2)


def at_once(count: int, work: Any) -> list[Any]:
    """Return work(0), work(1), …, each in a thread of its own, all begun together."""
    gate = threading.Barrier(count)

    def run(number: int) -> Any:
        gate.wait(30)
        return work(number)

    with futures.ThreadPoolExecutor(count) as pool:
        return list(pool.map(run, range(count)))
