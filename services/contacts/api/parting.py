"""Contacts that are no more: merged into another one, or erased."""

from __future__ import annotations

import grpc
from rapport.contacts.v1 import contacts_pb2 as pb
from sqlalchemy import Connection

from services.contacts.api.base import Methods
from services.contacts.codec.contacts import encode_contact
from services.contacts.store.writing import write
from services.contacts.usecases import parting
from services.kit.names import format_name, parse_name
from services.kit.wire import to_timestamp


class PartingMethods(Methods):
    """Answer the RPCs that let contacts be gone."""

    def MergeContacts(
        self, request: pb.MergeContactsRequest, context: grpc.ServicerContext
    ) -> pb.MergeContactsResponse:
        """Make one contact of two."""
        survivor = parse_name(request.survivor, "contacts", "survivor")
        absorbed = parse_name(request.absorbed, "contacts", "absorbed")

        def merge(connection: Connection) -> pb.MergeContactsResponse:
            contact = parting.merge(
                connection,
                self._runtime,
                survivor,
                absorbed,
                survivor_etag=request.survivor_etag,
                absorbed_etag=request.absorbed_etag,
            )
            return pb.MergeContactsResponse(contact=encode_contact(contact))

        def attempt(connection: Connection) -> pb.MergeContactsResponse:
            tried = connection.begin_nested()
            response = merge(connection)
            tried.rollback()
            return response

        if request.validate_only:
            return write(self._runtime.db, attempt)
        return self._once_among_others(request, pb.MergeContactsResponse, merge)

    def EraseContact(
        self, request: pb.EraseContactRequest, context: grpc.ServicerContext
    ) -> pb.EraseContactResponse:
        """Erase a contact and return the receipt."""
        key = parse_name(request.name, "contacts")

        def erase(connection: Connection) -> pb.EraseContactResponse:
            receipt = parting.erase(connection, self._runtime, key, request.etag)
            return pb.EraseContactResponse(receipt=_encode(receipt))

        return self._once_among_others(request, pb.EraseContactResponse, erase)


def _encode(receipt: parting.Receipt) -> pb.ErasureReceipt:
    removed = receipt.removed
    return pb.ErasureReceipt(
        contact=format_name("contacts", receipt.contact_id),
        erase_time=to_timestamp(receipt.time),
        absorbed=[format_name("contacts", key) for key in receipt.absorbed],
        identity_count=removed.identities,
        consent_count=removed.consents,
        activity_count=removed.activities,
        event_count=removed.events,
    )
