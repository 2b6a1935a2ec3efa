"""What the tests of a whole stack ask of it."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from datetime import timedelta

from rapport_client import Rapport
from rapport_client.errors import NotFound

from services.kit.config import SERVICES
from tests.e2e.conftest import NOW

numbers = itertools.count(1)

# One cheap question to each service; the arguments are options of the call.
QUESTIONS: dict[str, Callable[..., object]] = {
    "contacts": lambda rapport, **options: rapport.contacts.count_contacts(**options),
    "sales": lambda rapport, **options: rapport.sales.get_sales_summary(**options),
    "segmentation": lambda rapport, **options: rapport.segmentation.list_segments(**options),
    "campaign": lambda rapport, **options: rapport.campaign.list_campaigns(**options),
    "care": lambda rapport, **options: rapport.care.get_care_summary(**options),
}


def new_contact(rapport: Rapport, **fields: object) -> str:
    number = next(numbers)
    identities = [
        {"type": "TYPE_EXTERNAL", "source": "e2e", "value": str(number)},
        {"type": "TYPE_EMAIL", "value": f"c{number}@example.test"},
    ]
    answer = rapport.contacts.upsert_contact(
        contact={"display_name": f"Customer {number}", "identities": identities, **fields},
        _wait_for_ready=True,
    )
    return str(answer.contact.name)


def place_order(rapport: Rapport, contact: str, *, days_ago: int = 0) -> str:
    rapport.sales.batch_upsert_products(products=[{"code": "cup", "title": "Cup"}], _wait_for_ready=True)
    placed = rapport.sales.place_order(
        order={
            "contact": contact,
            "source": "e2e",
            "external_id": str(next(numbers)),
            "order_time": NOW - timedelta(days=days_ago),
            "lines": [
                {"product_code": "cup", "quantity": "2", "unit_price": {"currency_code": "EUR", "units": 3}}
            ],
        },
        _wait_for_ready=True,
    )
    return str(placed.order.name)


def orders_seen(rapport: Rapport, contact: str) -> int:
    try:
        return int(rapport.segmentation.get_profile(contact=contact).event_counts.get("order_placed", 0))
    except NotFound:
        return 0


def started_journeys(rapport: Rapport) -> int:
    """Return how often the journey that every order starts was started; makes it at the first call."""
    try:
        return int(rapport.campaign.get_journey(name="journeys/each-order").journey.started_count)
    except NotFound:
        pass
    rapport.campaign.create_template(
        template_id="thanks", template={"contents": [{"subject": "Thank you", "text": "Thank you"}]}
    )
    send = {"template": "templates/thanks", "channel": "email.smtp", "topic": "transactional"}
    rapport.campaign.create_journey(
        journey_id="each-order",
        journey={
            "trigger": {"event_type": "order.placed", "reentry_after": timedelta(0)},
            "steps": [{"wait": {"duration": timedelta(days=900)}}, {"send": send}],
        },
    )
    rapport.campaign.activate_journey(name="journeys/each-order")
    return 0


def all_events_have_their_effects(rapport: Rapport) -> bool:
    """Say whether no event of any service waits for a subscriber."""
    for service in SERVICES:
        stream = rapport.events(service).get_stream(_wait_for_ready=True)
        if stream.unpositioned_events or any(item.lag for item in stream.subscriptions):
            return False
    return True


def answer_case(rapport: Rapport, contact: str) -> str:
    """Let an agent answer a new case, and return the number by which the mail can be told."""
    case = rapport.care.create_case(case={"contact": contact, "subject": "A question"}).case
    rapport.care.add_case_message(case=case.name, message={"kind": "KIND_REPLY", "text": "An answer"})
    return f"[#{case.number}]"
