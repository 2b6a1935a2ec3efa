"""Campaign in tests: its neighbours as true gRPC servers, its sender as a process, and a world to send to."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator, Sequence
from concurrent import futures
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import UUID

import grpc
from rapport.campaign.v1 import campaign_pb2 as pb
from rapport.care.v1 import care_pb2, care_pb2_grpc, tasks_pb2, tasks_pb2_grpc
from rapport.contacts.v1 import contacts_pb2, contacts_pb2_grpc
from rapport.events.v1 import events_pb2, events_pb2_grpc
from rapport.segmentation.v1 import segmentation_pb2, segmentation_pb2_grpc

from services.campaign.domain.campaigns import Campaign
from services.campaign.domain.journeys import Journey, Step
from services.campaign.domain.ledger import Counts
from services.campaign.domain.rendering import Content
from services.campaign.models import kit
from services.campaign.usecases import campaigns, coupons, journeys, launching, templates
from services.kit.clock import FixedClock
from services.kit.names import new_id
from services.kit.operations import OperationContext
from services.kit.operations import store as operations
from services.kit.runtime import Runtime
from tests.support.processes import ServiceProcess, start_process
from tests.support.rabbit import clean_environment

ROOT = Path(__file__).parents[2]
NOW = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
CHANNEL = "email.smtp"
TIMELINE = "0197a000-0000-7000-8000-000000000001"
GRANTED, DENIED = contacts_pb2.Consent.STATE_GRANTED, contacts_pb2.Consent.STATE_DENIED


@dataclass
class World:
    """Say what contacts and segmentation know; tests change it at any time.

    down: answer UNAVAILABLE; asked: the BatchGetRecipients requests so far; page: the largest page of members; rules:
    for whom each is TRUE, by their texts; attributes: the types of custom attributes; done: what was changed elsewhere
    (RPC, request), each request id once.
    """

    people: dict[str, contacts_pb2.Recipient] = field(default_factory=dict)
    members: dict[str, list[str]] = field(default_factory=dict)
    down: bool = False
    page: int = 10_000
    rules: dict[str, Callable[[str], bool]] = field(default_factory=dict)
    attributes: dict[str, Any] = field(default_factory=dict)
    done: list[tuple[str, Any]] = field(default_factory=list)
    contacts: dict[str, contacts_pb2.Contact] = field(default_factory=dict)
    asked: list[contacts_pb2.BatchGetRecipientsRequest] = field(default_factory=list)
    events: list[events_pb2.Event] = field(default_factory=list)
    """What happened in all services; one stream tells all of it, whichever service is asked."""
    purged: int = 0
    """So many of the oldest events are no longer kept."""
    matched: list[segmentation_pb2.MatchContactsRequest] = field(default_factory=list)
    past_rules: dict[str, Callable[[str], bool]] = field(default_factory=dict)
    """For whom rules were TRUE at any past time, where that differs from now."""

    def note(self, name: str, request: Any) -> None:
        """Keep a change that was asked for; a request id that is known changes nothing."""
        key = getattr(request, "request_id", "")
        if not key or key not in {getattr(item, "request_id", "") for _, item in self.done}:
            self.done.append((name, request))

    def add(
        self, count: int = 1, *, consent: Any = GRANTED, segment: str = "segments/all", **fields: Any
    ) -> list[str]:
        """Add people with an address at a .test domain and return their names."""
        made = []
        for _ in range(count):
            key = new_id()
            name = f"contacts/{key}"
            values = {"address": f"p{key.hex}@mail.test", "display_name": "Sam", "given_name": "Sam"} | fields
            self.people[name] = contacts_pb2.Recipient(contact=name, consent=consent, **values)
            made.append(name)
        self.members.setdefault(segment, []).extend(made)
        return made


class _Contacts(contacts_pb2_grpc.ContactServiceServicer):
    def __init__(self, world: World) -> None:
        self._world = world

    def BatchGetRecipients(self, request: Any, context: grpc.ServicerContext) -> Any:
        if self._world.down:
            context.abort(grpc.StatusCode.UNAVAILABLE, "contacts is away")
        self._world.asked.append(request)
        people = self._world.people
        answer = contacts_pb2.BatchGetRecipientsResponse()
        for name in request.contacts:
            if name in people:
                person = answer.recipients.add()
                person.CopyFrom(people[name])
        return answer

    def ListAttributes(self, request: Any, context: grpc.ServicerContext) -> Any:
        return contacts_pb2.ListAttributesResponse(
            attributes=[
                contacts_pb2.Attribute(id=name, type=kind) for name, kind in self._world.attributes.items()
            ]
        )

    def ListContacts(self, request: Any, context: grpc.ServicerContext) -> Any:
        names = sorted(self._world.contacts)
        rest = [name for name in names if name > request.page_token]
        page = rest[: min(request.page_size, self._world.page)]
        return contacts_pb2.ListContactsResponse(
            contacts=[self._world.contacts[name] for name in page],
            next_page_token=page[-1] if len(rest) > len(page) else "",
        )

    def UpdateContact(self, request: Any, context: grpc.ServicerContext) -> Any:
        return self._change("UpdateContact", request, context, contacts_pb2.UpdateContactResponse())

    def ModifyTags(self, request: Any, context: grpc.ServicerContext) -> Any:
        return self._change("ModifyTags", request, context, contacts_pb2.ModifyTagsResponse())

    def _change(self, name: str, request: Any, context: grpc.ServicerContext, answer: Any) -> Any:
        if self._world.down:
            context.abort(grpc.StatusCode.UNAVAILABLE, "contacts is away")
        self._world.note(name, request)
        return answer


class _Care(care_pb2_grpc.CareServiceServicer):
    def __init__(self, world: World) -> None:
        self._world = world

    def CreateCase(self, request: Any, context: grpc.ServicerContext) -> Any:
        if request.case.queue and request.case.queue != "queues/help":
            context.abort(grpc.StatusCode.NOT_FOUND, f"{request.case.queue} does not exist")
        self._world.note("CreateCase", request)
        return care_pb2.CreateCaseResponse()

    def ListAgents(self, request: Any, context: grpc.ServicerContext) -> Any:
        return care_pb2.ListAgentsResponse(agents=[care_pb2.Agent(name="agents/ana")])

    def ListQueues(self, request: Any, context: grpc.ServicerContext) -> Any:
        return care_pb2.ListQueuesResponse(queues=[care_pb2.Queue(name="queues/help")])


class _Tasks(tasks_pb2_grpc.TaskServiceServicer):
    def __init__(self, world: World) -> None:
        self._world = world

    def CreateTask(self, request: Any, context: grpc.ServicerContext) -> Any:
        self._world.note("CreateTask", request)
        return tasks_pb2.CreateTaskResponse()


class _Segmentation(segmentation_pb2_grpc.SegmentationServiceServicer):
    def __init__(self, world: World) -> None:
        self._world = world

    def GetSegment(self, request: Any, context: grpc.ServicerContext) -> Any:
        if request.name not in self._world.members:
            context.abort(grpc.StatusCode.NOT_FOUND, f"{request.name} does not exist")
        count = len(self._world.members[request.name])
        segment = segmentation_pb2.Segment(name=request.name, version=1, member_count=count)
        return segmentation_pb2.GetSegmentResponse(segment=segment)

    def ListSegments(self, request: Any, context: grpc.ServicerContext) -> Any:
        return segmentation_pb2.ListSegmentsResponse(
            segments=[segmentation_pb2.Segment(name=name) for name in sorted(self._world.members)]
        )

    def MatchContacts(self, request: Any, context: grpc.ServicerContext) -> Any:
        if self._world.down:
            context.abort(grpc.StatusCode.UNAVAILABLE, "segmentation is away")
        if request.rule not in self._world.rules:
            context.abort(grpc.StatusCode.INVALID_ARGUMENT, f"no such rule: {request.rule}")
        self._world.matched.append(request)
        holds = self._world.rules[request.rule]
        if request.HasField("as_of_time"):
            holds = self._world.past_rules.get(request.rule, holds)
        return segmentation_pb2.MatchContactsResponse(
            contacts=[name for name in request.contacts if holds(name)]
        )

    def ListMembers(self, request: Any, context: grpc.ServicerContext) -> Any:
        if request.segment not in self._world.members:
            context.abort(grpc.StatusCode.NOT_FOUND, f"{request.segment} does not exist")
        names = sorted(self._world.members[request.segment])
        rest = [name for name in names if name > request.page_token]
        page = rest[: min(request.page_size, self._world.page)]
        more = len(rest) > len(page)
        return segmentation_pb2.ListMembersResponse(contacts=page, next_page_token=page[-1] if more else "")


class _Events(events_pb2_grpc.EventServiceServicer):
    def __init__(self, world: World) -> None:
        self._world = world

    def GetStream(self, request: Any, context: grpc.ServicerContext) -> Any:
        head, purged = len(self._world.events), self._world.purged
        return events_pb2.GetStreamResponse(
            head=events_pb2.Cursor(timeline=TIMELINE, position=head),
            oldest_position=purged + 1 if head > purged else 0,
        )

    def Subscribe(self, request: Any, context: grpc.ServicerContext) -> Iterator[Any]:
        if request.start.position < self._world.purged:
            context.abort(grpc.StatusCode.OUT_OF_RANGE, "these are no longer kept")
        events = self._world.events[request.start.position :]
        numbered = list(enumerate(events, request.start.position + 1))
        wanted = [item for item in numbered if not request.types or item[1].type in request.types]
        for start in range(0, len(wanted), request.max_batch_size):
            some = wanted[start : start + request.max_batch_size]
            batch = events_pb2.SubscribeResponse(cursor={"timeline": TIMELINE, "position": some[-1][0]})
            for position, event in some:
                batch.events.add().CopyFrom(event)
                batch.events[-1].position = position
            yield batch
        yield events_pb2.SubscribeResponse(cursor={"timeline": TIMELINE, "position": len(self._world.events)})


@contextmanager
def neighbours(world: World) -> Iterator[str]:
    """Serve contacts and segmentation on one real port and give its address."""
    server = grpc.server(futures.ThreadPoolExecutor(8))
    contacts_pb2_grpc.add_ContactServiceServicer_to_server(_Contacts(world), server)
    segmentation_pb2_grpc.add_SegmentationServiceServicer_to_server(_Segmentation(world), server)
    care_pb2_grpc.add_CareServiceServicer_to_server(_Care(world), server)
    events_pb2_grpc.add_EventServiceServicer_to_server(_Events(world), server)
    tasks_pb2_grpc.add_TaskServiceServicer_to_server(_Tasks(world), server)
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    try:
        yield f"127.0.0.1:{port}"
    finally:
        server.stop(None).wait()


def smtp_environment(port: int) -> dict[str, str]:
    """Return the variables that let the e-mail plugin use a server on loopback."""
    return {
        "RAPPORT_PLUGIN_EMAIL_SMTP_HOST": "127.0.0.1",
        "RAPPORT_PLUGIN_EMAIL_SMTP_PORT": str(port),
        "RAPPORT_PLUGIN_EMAIL_SMTP_SECURITY": "none",
        "RAPPORT_PLUGIN_EMAIL_SMTP_TIMEOUT": "10",
    }


@dataclass
class SenderProcess:
    """A real sender process."""

    process: ServiceProcess
    log: Path

    def kill(self) -> None:
        """End it as a crash does."""
        self.process.kill()
        self.process.wait()

    def stop(self) -> int:
        """End it in order and return its status."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(60)


def start_sender(
    folder: Path,
    database_url: str,
    secret: str,
    neighbours_at: str,
    smtp_port: int,
    clock: str,
    *options: str,
    **variables: str,
) -> SenderProcess:
    """Start a sender process; its log is in the folder. variables: of its environment, over those given here."""
    log = folder / f"sender-{new_id()}.log"
    environment = {
        **clean_environment(),
        "PYTHONPATH": os.pathsep.join(map(str, (ROOT, ROOT / "protos", ROOT / "protos" / "gen"))),
        "RAPPORT_DATA_DIR": str(folder),
        "RAPPORT_CAMPAIGN_DATABASE_URL": database_url,
        "RAPPORT_SECRET_KEY": secret,
        "RAPPORT_ADDRESS": neighbours_at,
        "RAPPORT_CLOCK": clock,
        "RAPPORT_MAIL_DOMAIN": "shop.test",
        "RAPPORT_PLUGINS_ALLOW": "email,recipients",
        **smtp_environment(smtp_port),
        **variables,
    }
    with log.open("wb") as output:
        process = start_process("services.campaign.sender", *options, env=environment, log=output)
    return SenderProcess(process, log)


def make_template(runtime: Runtime, key: str = "hello", **content: str) -> None:
    """Store a template with one language."""
    values = {
        "language_code": "",
        "subject": "Hi {{ contact.given_name }}",
        "text": "Text {{ coupon | default('') }}",
        "html": "",
    }
    with runtime.db.transaction() as connection:
        templates.create_template(runtime, connection, key, key, [Content(**(values | content))])


def make_pool(runtime: Runtime, key: str = "gift", **values: Any) -> None:
    """Store a coupon pool."""
    given: dict[str, Any] = {"display_name": "", "prefix": "GIFT", "expire_time": None, "personal": False}
    with runtime.db.transaction() as connection:
        coupons.create_pool(runtime, connection, key, **(given | values))


def make_campaign(runtime: Runtime, key: str = "spring", **values: Any) -> None:
    """Store a campaign to everybody with the template `hello`."""
    given: dict[str, Any] = {
        "id": key,
        "display_name": key,
        "segment": "segments/all",
        "template_id": "hello",
        "channel": CHANNEL,
        "topic": "marketing",
        "coupon_pool_id": "",
        "state": "",
        "planned": False,
        "create_time": NOW,
        "launch_time": None,
    }
    with runtime.db.transaction() as connection:
        campaigns.create_campaign(runtime, connection, Campaign(**(given | values)))


def make_journey(runtime: Runtime, steps: Sequence[Step], key: str = "thanks", **values: Any) -> None:
    """Store an active journey."""
    given: dict[str, Any] = {
        "id": key,
        "display_name": key,
        "event_type": "order.placed",
        "segment": "",
        "reentry_after": None,
        "steps": tuple(steps),
        "active": False,
        "activate_time": None,
        "create_time": NOW,
    }
    with runtime.db.transaction() as connection:
        journeys.create_journey(runtime, connection, Journey(**(given | values)))
    journeys.set_active(runtime, key, active=True)


def update_journey(runtime: Runtime, key: str = "thanks", **values: Any) -> Journey:
    """Change fields of a journey, as a new version."""
    present = journeys.get_journey(runtime, key)[0]
    with runtime.db.transaction() as connection:
        return journeys.update_journey(runtime, connection, replace(present, **values), 0)[0]


def begin_launch(runtime: Runtime, key: str = "spring") -> OperationContext:
    """Launch a campaign and return the operation as a worker that has claimed it sees it."""
    request = pb.LaunchCampaignRequest(name=f"campaigns/{key}")
    made = campaigns.launch_campaign(runtime, key, request, "")
    return claim_operation(runtime, UUID(made.name.partition("/")[2]))


def claim_operation(runtime: Runtime, key: UUID) -> OperationContext:
    """Begin an attempt of an operation."""
    with runtime.db.transaction() as connection:
        claimed = operations.claim(connection, kit, key)
    assert claimed is not None
    return OperationContext(runtime.db, kit, claimed)


def plan(runtime: Runtime, key: str = "spring") -> OperationContext:
    """Launch a campaign and plan its audience, so that the senders may begin."""
    op = begin_launch(runtime, key)
    launching._plan(runtime, op, key)
    return op


def counts(runtime: Runtime, key: str = "spring") -> Counts:
    """Return the counts of a campaign."""
    return campaigns.get_campaign(runtime, key)[1]


def clock_of(runtime: Runtime) -> FixedClock:
    """Return the clock of a runtime of a test, to be moved."""
    assert isinstance(runtime.clock, FixedClock)
    return runtime.clock
