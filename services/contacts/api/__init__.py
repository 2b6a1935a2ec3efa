"""ContactService over gRPC: each method decodes the request, calls its use case and encodes the answer."""

from __future__ import annotations

import grpc
from rapport.contacts.v1 import contacts_pb2_grpc

from services.contacts.api.activities import ActivityMethods
from services.contacts.api.consents import ConsentMethods
from services.contacts.api.contacts import ContactMethods
from services.contacts.api.imports import ImportMethods
from services.contacts.api.parting import PartingMethods
from services.contacts.api.schema import SchemaMethods
from services.kit.runtime import Runtime


class ContactServicer(
    ContactMethods,
    ConsentMethods,
    SchemaMethods,
    ActivityMethods,
    ImportMethods,
    PartingMethods,
    contacts_pb2_grpc.ContactServiceServicer,
):
    """Answer the RPCs of ContactService; see the proto for what each promises."""


def register(server: grpc.Server, runtime: Runtime) -> None:
    """Add the servicer of contacts to a server."""
    contacts_pb2_grpc.add_ContactServiceServicer_to_server(ContactServicer(runtime), server)  # type: ignore[no-untyped-call]
