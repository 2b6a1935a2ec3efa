"""What one customer leaves in all services, made and looked at by the APIs of one release or the other."""

from __future__ import annotations

import itertools
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from google.protobuf import message_factory
from google.protobuf.descriptor_pb2 import FileDescriptorSet
from google.protobuf.descriptor_pool import DescriptorPool
from rapport_client import Rapport

from deploy.tools.release import ROOT

numbers = itertools.count(1)
_API = FileDescriptorSet.FromString((ROOT / "protos" / "released.binpb").read_bytes())
MESSAGES = message_factory.GetMessages(list(_API.file), DescriptorPool())
"""The last release's messages by their names."""
ORDERED = datetime.now(UTC) - timedelta(days=1)


@dataclass
class Deal:
    """Hold the names of what one customer left in all services."""

    contact: str = ""
    order: str = ""
    case: str = ""
    segment: str = ""
    campaign: str = ""
    seen: list[Any] = field(default_factory=list)


def order(contact: str, number: int) -> dict[str, Any]:
    price = {"currency_code": "EUR", "units": 3}
    lines = [{"product_code": "cup", "quantity": "2", "unit_price": price}]
    return {
        "contact": contact,
        "source": "fleet",
        "external_id": str(number),
        "order_time": ORDERED,
        "lines": lines,
    }


def trade(rapport: Rapport) -> Deal:
    """Make one of everything by the APIs of a release; the segment's rebuild is done by whose workers run."""
    number = next(numbers)
    identities = [
        {"type": "TYPE_EXTERNAL", "source": "fleet", "value": str(number)},
        {"type": "TYPE_EMAIL", "value": f"c{number}@example.test"},
    ]
    contact = rapport.contacts.upsert_contact(
        contact={"display_name": f"Customer {number}", "identities": identities, "tags": ["vip"]}
    ).contact.name
    placed = rapport.sales.place_order(order=order(contact, number)).order.name
    made = rapport.segmentation.create_segment(
        segment_id=f"buyers-{number}",
        segment={"rule": "events.order_placed.exists(o, now - o.time <= days(30))"},
    )
    rapport.segmentation.wait_operation(made.rebuild, timeout=120)
    rapport.campaign.create_template(
        template_id=f"hello-{number}", template={"contents": [{"subject": "Hello", "text": "Hello"}]}
    )
    campaign = rapport.campaign.create_campaign(
        campaign_id=f"hello-{number}",
        campaign={
            "segment": made.segment.name,
            "template": f"templates/hello-{number}",
            "channel": "email.smtp",
            "topic": "marketing",
        },
    ).campaign.name
    case = rapport.care.create_case(case={"contact": contact, "subject": "Where is it?"}, text="Not here.")
    return Deal(contact, placed, case.case.name, made.segment.name, campaign)


def look(rapport: Rapport, deal: Deal) -> list[Any]:
    """Return what the APIs of a release say of it, as far as the last release's messages have it.

    But for the etag, which is opaque: a change with that of another release is ABORTED, so that its caller reads again.
    """
    found = [
        rapport.contacts.get_contact(name=deal.contact).contact,
        rapport.sales.get_order(name=deal.order).order,
        rapport.segmentation.get_segment(name=deal.segment).segment,
        rapport.campaign.get_campaign(name=deal.campaign).campaign,
        rapport.care.get_case(name=deal.case).case,
    ]
    for index, message in enumerate(found):
        old = MESSAGES[message.DESCRIPTOR.full_name].FromString(message.SerializeToString())
        old.DiscardUnknownFields()
        for name in {"etag", "member_count"}.intersection(old.DESCRIPTOR.fields_by_name):
            old.ClearField(name)
        found[index] = old
    return found


def member(rapport: Rapport, deal: Deal) -> bool:
    """Tell whether the order, of which segmentation learnt by an event, led into the segment."""
    found = rapport.segmentation.list_contact_segments(contact=deal.contact).segments
    return deal.segment in [item.segment for item in found]
