"""The whole stack: processes, isolation, and what happens when a part of it dies."""

from __future__ import annotations

import itertools
from datetime import UTC, timedelta

import psycopg
import pytest
from rapport_client import Rapport
from rapport_client.errors import NotFound, PermissionDenied, Unauthenticated

from services.kit.config import SERVICES
from services.kit.postgres import libpq_url
from tests.e2e.conftest import NOW, Running
from tests.support.waiting import until

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(280)]

numbers = itertools.count(1)

# One cheap question to each service.
QUESTIONS = {
    "contacts": lambda rapport: rapport.contacts.count_contacts(),
    "sales": lambda rapport: rapport.sales.get_sales_summary(),
    "segmentation": lambda rapport: rapport.segmentation.list_segments(),
    "campaign": lambda rapport: rapport.campaign.list_campaigns(),
    "care": lambda rapport: rapport.care.get_care_summary(),
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


def test_each_service_has_its_own_api_and_worker(running: Running):
    pids = {
        f"{service}-{role}": running.stack.supervisor.pid(f"{service}-{role}")
        for service in SERVICES
        for role in ("api", "worker")
    }
    assert None not in pids.values()
    assert len(set(pids.values())) == 2 * len(SERVICES)


@pytest.mark.parametrize("service", SERVICES)
def test_no_other_service_can_open_its_database(running: Running, service: str):
    with psycopg.connect(libpq_url(running.urls[service])) as own:
        database = own.execute("SELECT current_database()").fetchone()
    assert database is not None
    for other in SERVICES:
        if other == service:
            continue
        parameters = psycopg.conninfo.conninfo_to_dict(libpq_url(running.urls[other]))
        with pytest.raises(psycopg.OperationalError, match="permission denied for database"):
            psycopg.connect(**(parameters | {"dbname": database[0]}))


@pytest.mark.parametrize("service", SERVICES)
def test_a_wrong_or_missing_token_is_refused(running: Running, service: str):
    assert running.stack.access is not None
    for token in ("", "wrong"):
        with Rapport(
            address=running.stack.access.address, base_port=running.settings.base_port, token=token
        ) as stranger:
            with pytest.raises(Unauthenticated):
                QUESTIONS[service](stranger)


def test_a_service_may_do_only_what_it_needs(running: Running):
    environment = running.stack.supervisor._children["sales-api"].spec.env
    assert running.stack.access is not None
    with Rapport(
        address=running.stack.access.address,
        base_port=running.settings.base_port,
        token=environment["RAPPORT_TOKEN"],
    ) as sales:
        with pytest.raises(PermissionDenied):
            sales.campaign.launch_campaign(name="campaigns/any")


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


def campaign_knows_all_orders(rapport: Rapport) -> bool:
    stream = rapport.events("sales").get_stream(_wait_for_ready=True)
    lags = [item.lag for item in stream.subscriptions if item.name == "campaign.start_from_sales"]
    return not stream.unpositioned_events and not any(lags)


def answer_case(rapport: Rapport, contact: str) -> str:
    """Let an agent answer a new case, and return the number by which the mail can be told."""
    case = rapport.care.create_case(case={"contact": contact, "subject": "A question"}).case
    rapport.care.add_case_message(case=case.name, message={"kind": "KIND_REPLY", "text": "An answer"})
    return f"[#{case.number}]"


@pytest.mark.parametrize("service", SERVICES)
def test_with_one_service_killed_the_others_answer_and_its_effects_catch_up(running: Running, service: str):
    rapport, supervisor = running.rapport, running.stack.supervisor
    contact = new_contact(rapport)
    # Orders of other tests may still be on their way, and would be counted as this one's.
    until(lambda: campaign_knows_all_orders(rapport), "campaign takes in the orders placed so far")
    journeys = started_journeys(rapport)
    case = answer_case(rapport, contact)
    roles = ("api", "worker", "sender") if service == "campaign" else ("api", "worker")
    killed = {name: supervisor.pid(name) for name in (f"{service}-{role}" for role in roles)}
    for name in killed:
        supervisor.kill(name)
    for other in SERVICES:
        if other != service:
            QUESTIONS[other](rapport)
    place_order(rapport, contact)
    for name, pid in killed.items():
        until(lambda name=name, pid=pid: supervisor.pid(name) not in (None, pid), f"{name} is started again")
        assert supervisor.wait_ready(name, timeout=90)
    QUESTIONS[service](rapport)
    until(lambda: orders_seen(rapport, contact) == 1, "segmentation learns of contact and order")
    until(lambda: started_journeys(rapport) == journeys + 1, "campaign starts the journey once")
    until(
        lambda: any(case in str(mail.message["Subject"]) for mail in running.mailbox.mails()),
        "the agent's answer goes from care through campaign to the customer",
    )
    assert sum(case in str(mail.message["Subject"]) for mail in running.mailbox.mails()) == 1


def test_an_order_reaches_a_segment_and_leaves_it_in_time(running: Running):
    rapport = running.rapport
    made = rapport.segmentation.create_segment(
        segment_id="fresh",
        segment={"rule": "events.order_placed.exists(o, now - o.time <= days(30))"},
    )
    rapport.segmentation.wait_operation(made.rebuild, timeout=60)
    contact = new_contact(rapport)
    place_order(rapport, contact, days_ago=29)

    def segments() -> list[str]:
        found = rapport.segmentation.list_contact_segments(contact=contact).segments
        return [item.segment for item in found]

    until(lambda: segments() == ["segments/fresh"], "the order leads into the segment")
    try:
        running.set_clock(NOW + timedelta(days=2))
        until(lambda: segments() == [], "the window lapses")
    finally:
        running.set_clock(NOW)


def test_the_glance_shows_every_part(running: Running):
    rapport = running.rapport
    contact = new_contact(rapport, tags=["vip"])
    order = place_order(rapport, contact)
    rapport.care.create_case(case={"contact": contact, "subject": "Where is it?"}, text="It has not come.")
    until(lambda: orders_seen(rapport, contact) == 1, "segmentation learns of the order")
    glance = rapport.care.get_customer_glance(contact=contact)
    assert dict(glance.unavailable_parts) == {}
    assert glance.contact.name == contact
    assert [item.name for item in glance.sales.recent_orders] == [order]
    assert [item.subject for item in glance.cases] == ["Where is it?"]


def test_events_carry_no_identity_values(running: Running):
    rapport = running.rapport
    identities = [
        {"type": "TYPE_EXTERNAL", "source": "e2e", "value": "ACCOUNT-4711"},
        {"type": "TYPE_EMAIL", "value": "secretive@example.test"},
        {"type": "TYPE_PHONE", "value": "+84912345678"},
    ]
    contact = new_contact(
        rapport,
        given_name="Secretive",
        family_name="Nguyễn",
        identities=identities,
        address={"region_code": "VN", "address_lines": ["17 Hidden Lane"]},
    )
    place_order(rapport, contact)
    case = answer_case(rapport, contact)
    until(
        lambda: any(case in str(mail.message["Subject"]) for mail in running.mailbox.mails()),
        "the answer is sent",
    )
    secrets = (
        b"Secretive",
        "Nguyễn".encode(),
        b"@example.test",
        b"912345678",
        b"ACCOUNT-4711",
        b"Hidden Lane",
    )

    def events(service: str) -> list[tuple[str, bytes]]:
        with psycopg.connect(libpq_url(running.urls[service])) as connection:
            rows = connection.execute(
                "SELECT type, data || convert_to(subject || traceparent, 'UTF8') FROM outbox"
            ).fetchall()
        return [(kind, bytes(data)) for kind, data in rows]

    until(lambda: any(kind == "message.sent" for kind, _ in events("campaign")), "campaign tells of the mail")
    for service in ("contacts", "sales", "campaign", "care"):
        found = events(service)
        assert found, f"{service} has told nothing"
        for kind, data in found:
            assert not any(secret in data for secret in secrets), kind


def test_the_business_clock_is_the_one_that_counts(running: Running):
    contact = running.rapport.contacts.get_contact(name=new_contact(running.rapport)).contact
    assert contact.create_time.ToDatetime(UTC) == NOW
