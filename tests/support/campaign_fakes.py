"""The neighbours that campaign asks, contacts and segmentation, as strict servers on a real port.

They stand behind the kit's guard: campaign's token must have the permission of each call, and a malformed request is
refused as the real services refuse it.
"""

from __future__ import annotations

import secrets
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import grpc
from rapport.contacts.v1 import contacts_pb2, contacts_pb2_grpc
from rapport.segmentation.v1 import segmentation_pb2, segmentation_pb2_grpc

from services.kit import paging
from services.kit.auth import SERVICE_PERMISSIONS, TokenStore, add_tokens
from services.kit.errors import InvalidArgument, NotFound, Unavailable
from services.kit.grpc.server import ApiServer
from services.kit.names import new_id
from services.kit.signing import Signer

GRANTED, DENIED = contacts_pb2.Consent.STATE_GRANTED, contacts_pb2.Consent.STATE_DENIED
UNDECIDED = contacts_pb2.Consent.STATE_UNSPECIFIED
EVERYBODY = "segments/everybody"


@dataclass
class Directory:
    """Hold what contacts and segmentation know; a test may change it at any time.

    people: what is known of each contact by name; addresses by (contact, channel); consents by (contact, channel,
    topic); members by segment; version: of every segment's rule. down: contacts answers UNAVAILABLE;
    attributes: those that are defined of contacts; page: the largest page of members; asked and listed: the requests so
    far.
    """

    people: dict[str, contacts_pb2.Recipient] = field(default_factory=dict)
    addresses: dict[tuple[str, str], str] = field(default_factory=dict)
    consents: dict[tuple[str, str, str], contacts_pb2.Consent.State] = field(default_factory=dict)
    members: dict[str, set[str]] = field(default_factory=lambda: {EVERYBODY: set()})
    attributes: set[str] = field(default_factory=set)
    version: int = 1
    down: bool = False
    page: int = 10_000
    asked: list[contacts_pb2.BatchGetRecipientsRequest] = field(default_factory=list)
    listed: list[segmentation_pb2.ListMembersRequest] = field(default_factory=list)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def add(
        self,
        *,
        address: str | None = None,
        consent: contacts_pb2.Consent.State = GRANTED,
        topic: str = "marketing",
        segment: str = EVERYBODY,
        **fields: Any,
    ) -> str:
        """Add a person and return its name; address: None for one of its own, empty for none."""
        key = new_id()
        name = f"contacts/{key}"
        self.people[name] = contacts_pb2.Recipient(contact=name, **({"display_name": "Minh"} | fields))
        self.addresses[name, "email"] = f"{key.hex}@mail.test" if address is None else address
        if consent != UNDECIDED:
            self.consents[name, "email", topic] = consent
        if segment:
            self.members.setdefault(segment, set()).add(name)
        return name

    def clear(self) -> None:
        """Forget everything."""
        vars(self).update(vars(Directory()))

    def forget(self, name: str) -> None:
        """Remove a person from contacts; segments go on naming it for a while."""
        del self.people[name]


class Contacts(contacts_pb2_grpc.ContactServiceServicer):
    """Answer BatchGetRecipients and ListAttributes from a directory."""

    def __init__(self, directory: Directory) -> None:
        self._directory = directory

    def BatchGetRecipients(self, request: Any, context: grpc.ServicerContext) -> Any:
        """Return the recipients that there are, in the order asked for."""
        known = self._directory
        if known.down:
            raise Unavailable("contacts is away")
        with known.lock:
            known.asked.append(request)
        response = contacts_pb2.BatchGetRecipientsResponse()
        for name in request.contacts:
            if name in known.people:
                item = response.recipients.add()
                item.CopyFrom(known.people[name])
                item.address = known.addresses.get((name, request.channel), "")
                item.consent = known.consents.get((name, request.channel, request.topic), UNDECIDED)
        return response

    def ListAttributes(self, request: Any, context: grpc.ServicerContext) -> Any:
        """Return the attributes that are defined, on one page."""
        if self._directory.down:
            raise Unavailable("contacts is away")
        defined = sorted(self._directory.attributes)
        return contacts_pb2.ListAttributesResponse(
            attributes=[contacts_pb2.Attribute(id=name) for name in defined]
        )


class Segmentation(segmentation_pb2_grpc.SegmentationServiceServicer):
    """Answer about segments and their members from a directory."""

    def __init__(self, directory: Directory) -> None:
        self._directory = directory
        self._signer = Signer(secrets.token_urlsafe(32))

    def GetSegment(self, request: Any, context: grpc.ServicerContext) -> Any:
        """Return a segment with the number of its members."""
        known = self._directory
        if known.down:
            raise Unavailable("segmentation is away")
        if request.name not in known.members:
            raise NotFound.resource(request.name)
        segment = segmentation_pb2.Segment(
            name=request.name, version=known.version, member_count=len(known.members[request.name])
        )
        return segmentation_pb2.GetSegmentResponse(segment=segment)

    def ListSegments(self, request: Any, context: grpc.ServicerContext) -> Any:
        """Return all segments on one page."""
        names = sorted(self._directory.members)
        return segmentation_pb2.ListSegmentsResponse(
            segments=[segmentation_pb2.Segment(name=name) for name in names]
        )

    def MatchContacts(self, request: Any, context: grpc.ServicerContext) -> Any:
        """Return those who are in the segment that a rule `in_segment("segments/…")` names."""
        known = self._directory
        name = request.rule.removeprefix('in_segment("').removesuffix('")')
        if name not in known.members:
            raise InvalidArgument.field("rule", f"no such rule here: {request.rule}", reason="INVALID_RULE")
        return segmentation_pb2.MatchContactsResponse(
            contacts=[contact for contact in request.contacts if contact in known.members[name]]
        )

    def ListMembers(self, request: Any, context: grpc.ServicerContext) -> Any:
        """Return a page of members by name; a page token belongs to its segment."""
        known = self._directory
        with known.lock:
            known.listed.append(request)
        if request.segment not in known.members:
            raise NotFound.resource(request.segment)
        position = paging.decode(request.page_token, request, self._signer)
        after = position["contact"] if position else ""
        rest = sorted(name for name in known.members[request.segment] if name > after)
        size = min(paging.page_size(request.page_size, 1000, 10_000), known.page)
        response = segmentation_pb2.ListMembersResponse(contacts=rest[:size])
        if len(rest) > size:
            response.next_page_token = paging.encode({"contact": rest[size - 1]}, request, self._signer)
        return response


@contextmanager
def serve_neighbours(directory: Directory, folder: Path) -> Iterator[Mapping[str, str]]:
    """Serve contacts and segmentation on one free port and give the settings by which campaign reaches them.

    The token among them may do what campaign's own may, and no more.
    """
    token = secrets.token_urlsafe(16)
    tokens = folder / "neighbours.json"
    add_tokens(tokens, [("service:campaign", SERVICE_PERMISSIONS["campaign"], token)])
    server = ApiServer("127.0.0.1:0", TokenStore(tokens), name="neighbours")
    server.add(
        lambda registry: contacts_pb2_grpc.add_ContactServiceServicer_to_server(Contacts(directory), registry)  # type: ignore[no-untyped-call]
    )
    server.add(
        lambda registry: segmentation_pb2_grpc.add_SegmentationServiceServicer_to_server(  # type: ignore[no-untyped-call]
            Segmentation(directory), registry
        )
    )
    port = server.start()
    try:
        yield {"address": f"127.0.0.1:{port}", "token": token}
    finally:
        server.stop(0.2)
