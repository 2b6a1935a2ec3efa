"""Contacts: making, reading, changing, finding, upserting."""

from __future__ import annotations

import grpc
from rapport.contacts.v1 import contacts_pb2 as pb
from sqlalchemy import Connection

from services.contacts.api.base import Methods
from services.contacts.codec.consents import decode_wish
from services.contacts.codec.contacts import encode_contact
from services.contacts.codec.problems import Problems
from services.contacts.domain.contact import Draft, clean_tags
from services.contacts.models import kit
from services.contacts.store.writing import write
from services.contacts.usecases import contacts
from services.contacts.usecases.upsert import batch_upsert_contacts, upsert_contact
from services.kit.errors import InvalidArgument
from services.kit.idempotency import remember, replay
from services.kit.names import format_name, parse_name


class ContactMethods(Methods):
    """Answer the RPCs on contacts themselves."""

    def CreateContact(
        self, request: pb.CreateContactRequest, context: grpc.ServicerContext
    ) -> pb.CreateContactResponse:
        """Create a contact."""
        runtime = self._runtime
        problems = Problems()
        draft = self._decoder(problems, [request.contact]).decode(request.contact, "contact")
        problems.raise_any()

        def work(connection: Connection) -> pb.CreateContactResponse:
            done = replay(connection, kit.request_log, request.request_id, request, pb.CreateContactResponse)
            if done is not None:
                return done
            contact = contacts.create(connection, runtime, draft)
            response = pb.CreateContactResponse(contact=encode_contact(contact))
            remember(connection, kit.request_log, request.request_id, request, response, runtime.clock.now())
            return response

        return write(runtime.db, work)

    def GetContact(
        self, request: pb.GetContactRequest, context: grpc.ServicerContext
    ) -> pb.GetContactResponse:
        """Return a contact."""
        contact = contacts.get(self._runtime, parse_name(request.name, "contacts"))
        return pb.GetContactResponse(contact=encode_contact(contact))

    def BatchGetContacts(
        self, request: pb.BatchGetContactsRequest, context: grpc.ServicerContext
    ) -> pb.BatchGetContactsResponse:
        """Return contacts in the order asked for."""
        keys = [parse_name(name, "contacts", f"names[{index}]") for index, name in enumerate(request.names)]
        found = contacts.batch_get(self._runtime, keys)
        return pb.BatchGetContactsResponse(contacts=map(encode_contact, found))

    def ListContacts(
        self, request: pb.ListContactsRequest, context: grpc.ServicerContext
    ) -> pb.ListContactsResponse:
        """List contacts, oldest first."""
        place, size = self._page(request, 50)
        for field in ("query", "tag"):
            if "\0" in getattr(request, field):
                raise InvalidArgument.field(field, "holds a NUL character; remove it")
        found, more = contacts.page(
            self._runtime,
            query=request.query.strip(),
            tag=request.tag.strip(),
            after=(place["time"], place["id"]) if place else None,
            limit=size,
        )
        return pb.ListContactsResponse(
            contacts=map(encode_contact, found),
            next_page_token=self._token(request, more, time=found[-1].create_time, id=found[-1].id)
            if more
            else "",
        )

    def CountContacts(
        self, request: pb.CountContactsRequest, context: grpc.ServicerContext
    ) -> pb.CountContactsResponse:
        """Count contacts."""
        total, organizations = contacts.count(self._runtime)
        return pb.CountContactsResponse(contact_count=total, organization_count=organizations)

    def LookupContact(
        self, request: pb.LookupContactRequest, context: grpc.ServicerContext
    ) -> pb.LookupContactResponse:
        """Find the contact of an identity."""
        problems = Problems()
        identity = self._decoder(problems, []).identity(request.identity, "identity")
        problems.raise_any()
        assert identity is not None
        return pb.LookupContactResponse(contact=encode_contact(contacts.lookup(self._runtime, identity)))

    def UpdateContact(
        self, request: pb.UpdateContactRequest, context: grpc.ServicerContext
    ) -> pb.UpdateContactResponse:
        """Change the fields that the mask names."""
        runtime = self._runtime
        key = parse_name(request.contact.name, "contacts", "contact.name")
        mask = request.update_mask.paths
        if not mask:
            raise InvalidArgument.field("update_mask", "is empty; name the fields to change")
        problems = Problems()
        named = [path.removeprefix("attributes.") for path in mask if path.startswith("attributes.")]
        change = self._decoder(problems, [request.contact], *named).decode_update(request.contact, mask)
        problems.raise_any()

        def work(connection: Connection) -> pb.UpdateContactResponse:
            done = replay(connection, kit.request_log, request.request_id, request, pb.UpdateContactResponse)
            if done is not None:
                return done
            contact = contacts.update(connection, runtime, key, change, request.etag)
            response = pb.UpdateContactResponse(contact=encode_contact(contact))
            remember(connection, kit.request_log, request.request_id, request, response, runtime.clock.now())
            return response

        return write(runtime.db, work)

    def UpsertContact(
        self, request: pb.UpsertContactRequest, context: grpc.ServicerContext
    ) -> pb.UpsertContactResponse:
        """Create or merge a contact."""
        problems = Problems()
        draft = self._decoder(problems, [request.contact]).decode(request.contact, "contact")
        _demand_identity(request.contact, "contact", problems)
        problems.raise_any()
        contact, outcome = upsert_contact(self._runtime, draft)
        return pb.UpsertContactResponse(contact=encode_contact(contact), created=outcome.created)

    def BatchUpsertContacts(
        self, request: pb.BatchUpsertContactsRequest, context: grpc.ServicerContext
    ) -> pb.BatchUpsertContactsResponse:
        """Create or merge contacts, all or none."""
        problems = Problems()
        decoder = self._decoder(problems, request.contacts)
        drafts: list[Draft] = []
        for index, message in enumerate(request.contacts):
            drafts.append(decoder.decode(message, f"contacts[{index}]"))
            _demand_identity(message, f"contacts[{index}]", problems)
        now = self._runtime.clock.now()
        for index, consent in enumerate(request.consents):
            wish = decode_wish(consent, f"consents[{index}]", problems, now)
            if consent.index < len(drafts):
                drafts[consent.index].consents.append(wish)
            else:
                problems.add(
                    f"consents[{index}].index", f"there are {len(drafts)} contacts only, counted from 0"
                )
        problems.raise_any()
        outcomes = batch_upsert_contacts(self._runtime, drafts)
        return pb.BatchUpsertContactsResponse(
            results=[
                pb.UpsertResult(
                    name=format_name("contacts", one.contact_id), created=one.created, revision=one.revision
                )
                for one in outcomes
            ]
        )

    def ModifyTags(
        self, request: pb.ModifyTagsRequest, context: grpc.ServicerContext
    ) -> pb.ModifyTagsResponse:
        """Add and remove tags."""
        problems = Problems()
        add = problems.check("add_tags", clean_tags, request.add_tags) or []
        remove = problems.check("remove_tags", clean_tags, request.remove_tags) or []
        problems.raise_any()
        contact = contacts.modify_tags(self._runtime, parse_name(request.name, "contacts"), add, remove)
        return pb.ModifyTagsResponse(contact=encode_contact(contact))


def _demand_identity(message: pb.Contact, path: str, problems: Problems) -> None:
    if not message.identities:
        problems.add(f"{path}.identities", "is required: an upsert knows the contact by its identities")
