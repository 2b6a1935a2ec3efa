"""Consents, and what is needed to write to contacts."""

from __future__ import annotations

import grpc
from rapport.contacts.v1 import contacts_pb2 as pb

from services.contacts.api.base import Methods
from services.contacts.codec.consents import decode_wish, encode_consent, encode_state
from services.contacts.codec.problems import Problems
from services.contacts.codec.values import encode_values
from services.contacts.domain.consents import check_channel, check_topic
from services.contacts.domain.contact import Contact
from services.contacts.domain.identity import address_on
from services.contacts.usecases import consents, contacts
from services.kit.access.scope import EVERYTHING
from services.kit.names import format_name, parse_name


class ConsentMethods(Methods):
    """Answer the RPCs on consents and recipients."""

    def RecordConsents(
        self, request: pb.RecordConsentsRequest, context: grpc.ServicerContext
    ) -> pb.RecordConsentsResponse:
        """Record decisions, all or none."""
        problems = Problems()
        now = self._runtime.clock.now()
        wishes = [
            (
                parse_name(one.contact, "contacts", f"consents[{index}].contact"),
                decode_wish(one, f"consents[{index}]", problems, now),
            )
            for index, one in enumerate(request.consents)
        ]
        problems.raise_any()
        consents.record(self._runtime, wishes)
        return pb.RecordConsentsResponse()

    def ListConsents(
        self, request: pb.ListConsentsRequest, context: grpc.ServicerContext
    ) -> pb.ListConsentsResponse:
        """List decisions of a contact, newest first."""
        key = parse_name(request.contact, "contacts", "contact")
        place, size = self._page(request, 50)
        after = (place["time"], place["channel"], place["topic"], place["granted"]) if place else None
        found, more = consents.page(self._runtime, key, after, size)
        token = ""
        if more:
            last = found[-1]
            token = self._token(
                request,
                more,
                time=last.decide_time,
                channel=last.channel,
                topic=last.topic,
                granted=last.granted,
            )
        return pb.ListConsentsResponse(
            consents=[encode_consent(key, one) for one in found], next_page_token=token
        )

    def BatchGetRecipients(
        self, request: pb.BatchGetRecipientsRequest, context: grpc.ServicerContext
    ) -> pb.BatchGetRecipientsResponse:
        """Return addresses and consents of those of the contacts that exist."""
        problems = Problems()
        problems.check("channel", check_channel, request.channel)
        problems.check("topic", check_topic, request.topic)
        problems.raise_any()
        keys = [
            parse_name(name, "contacts", f"contacts[{index}]") for index, name in enumerate(request.contacts)
        ]
        found = contacts.find(self._runtime, keys, EVERYTHING)
        return pb.BatchGetRecipientsResponse(
            recipients=[
                _recipient(found[key], request.channel, request.topic) for key in keys if key in found
            ]
        )


def _recipient(contact: Contact, channel: str, topic: str) -> pb.Recipient:
    decision = contact.consents.get(f"{channel}_{topic}")
    return pb.Recipient(
        contact=format_name("contacts", contact.id),
        address=address_on(channel, contact.identities),
        consent=encode_state(decision.granted if decision else None),
        display_name=contact.display_name,
        given_name=contact.given_name,
        family_name=contact.family_name,
        language_code=contact.language_code,
        time_zone=contact.time_zone,
        region_code=contact.region_code,
        locality=contact.locality,
        attributes=encode_values(contact.attributes),
        tags=sorted(contact.tags),
    )
