"""The whole stack: processes, isolation, and what goes through all of it."""

from __future__ import annotations

import json
from datetime import UTC, timedelta

import psycopg
import pytest
from rapport_client import Rapport
from rapport_client.errors import PermissionDenied, Unauthenticated

from services.kit.config import SERVICES
from services.kit.postgres import libpq_url
from tests.e2e.calls import QUESTIONS, answer_case, new_contact, orders_seen, place_order
from tests.e2e.conftest import NOW, Running
from tests.support.waiting import until

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(280)]


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

    until(lambda: "segments/fresh" in segments(), "the order leads into the segment")
    try:
        running.set_clock(NOW + timedelta(days=2))
        until(lambda: "segments/fresh" not in segments(), "the window lapses")
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


def test_a_contact_is_found_with_its_segments(running: Running):
    rapport = running.rapport
    email = "found@example.test"
    contact = new_contact(rapport, identities=[{"type": "TYPE_EMAIL", "value": email}], tags=["found"])
    made = rapport.segmentation.create_segment(
        segment_id="found", segment={"rule": '"found" in contact.tags'}
    )
    rapport.segmentation.wait_operation(made.rebuild, timeout=60)

    def segments() -> list[str]:
        ran = running.command("contacts", "find", email, "--json")
        assert (ran.code, ran.err) == (0, "")
        found = json.loads(ran.out)
        assert found["name"] == contact
        return [item["segment"] for item in found["segments"]]

    until(lambda: segments() == ["segments/found"], "segmentation learns of the contact")
    assert "segments/found since 2026-03-02" in running.command("contacts", "find", contact).out


def test_who_deletes_a_segment_is_told_what_would_not_work_without_it(running: Running):
    rapport = running.rapport
    rule = {"rule": "contact.has_email"}
    for key in ("used", "used_2"):
        made = rapport.segmentation.create_segment(segment_id=key, segment=rule)
        rapport.segmentation.wait_operation(made.rebuild, timeout=60)
    rapport.campaign.create_template(
        template_id="used", template={"contents": [{"subject": "Hi", "text": "Hi"}]}
    )
    sent = {"template": "templates/used", "channel": "email.smtp", "topic": "marketing"}
    for key, segment in (("used", "used"), ("other", "used_2"), ("cancelled", "used")):
        campaign = {**sent, "segment": f"segments/{segment}"}
        rapport.campaign.create_campaign(campaign_id=key, campaign=campaign)
    rapport.campaign.cancel_campaign(name="campaigns/cancelled")
    branch = {"cases": [{"rule": 'in_segment("segments/used")', "next": "end"}]}
    for key, step in (("used", {"branch": branch}), ("other", {"send": sent})):
        rapport.campaign.create_journey(
            journey_id=key,
            journey={
                "trigger": {"event_type": "order.placed"},
                "steps": [{"id": "one", **step}, {"send": sent}],
            },
        )
    unasked = running.command("segments", "delete", "used")
    assert unasked.code == 1
    assert unasked.err.splitlines()[:2] == [
        "campaigns/used (draft) names segments/used, and does not work without it",
        "journeys/used (not active) names segments/used, and does not work without it",
    ]
    ran = running.command("segments", "delete", "used", "--yes")
    assert (ran.code, ran.out) == (0, "used is deleted\n")
    assert ran.err.splitlines() == unasked.err.splitlines()[:2]


def test_the_business_clock_is_the_one_that_counts(running: Running):
    contact = running.rapport.contacts.get_contact(name=new_contact(running.rapport)).contact
    assert contact.create_time.ToDatetime(UTC) == NOW


def test_events_travel_by_the_transport_that_was_chosen(running: Running):
    subscriptions = running.rapport.events("contacts").get_stream().subscriptions
    assert ("relay/rabbitmq" in {item.name for item in subscriptions}) is bool(running.settings.amqp_url)
