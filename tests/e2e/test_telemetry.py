"""One trace from a call to the mail that it caused, and figures of every process."""

from __future__ import annotations

import re
import urllib.request
from datetime import timedelta

import pytest
from opentelemetry.sdk.trace import TracerProvider
from rapport_client.errors import NotFound

from services.kit.config import SERVICES
from tests.e2e.calls import all_events_have_their_effects, new_contact, place_order
from tests.e2e.conftest import Running
from tests.support.collector import Received
from tests.support.waiting import until

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(280)]

SHOP = TracerProvider().get_tracer("shop")


def make_journey(running: Running, name: str, rule: str) -> None:
    """Write to everybody who enters a segment."""
    made = running.rapport.segmentation.create_segment(segment_id=name, segment={"rule": rule})
    running.rapport.segmentation.wait_operation(made.rebuild, timeout=60)
    campaign = running.rapport.campaign
    campaign.create_template(template_id=name, template={"contents": [{"subject": name, "text": "Hello"}]})
    send = {"template": f"templates/{name}", "channel": "email.smtp", "topic": "transactional"}
    trigger = {"event_type": "segment.entered", "segment": f"segments/{name}", "reentry_after": timedelta(0)}
    campaign.create_journey(journey_id=name, journey={"trigger": trigger, "steps": [{"send": send}]})
    campaign.activate_journey(name=f"journeys/{name}")


def path(running: Running, trace: str) -> list[Received]:
    """Return the spans that lead from the first one of a trace to the hand-over of the mail."""
    spans = {span.span: span for span in running.collector.of_trace(trace)}
    last = [span for span in spans.values() if span.name == "campaign.sender hand_over"]
    assert len(last) == 1, list(spans.values())
    way = last
    while way[0].parent in spans:
        way = [spans[way[0].parent], *way]
    return way


def is_known(running: Running, contact: str) -> bool:
    try:
        return "tea" in running.rapport.segmentation.get_profile(contact=contact).tags
    except NotFound:
        return False


def handed_over(running: Running, traces: list[str]) -> bool:
    names = {span.trace for span in list(running.collector.spans) if span.name == "campaign.sender hand_over"}
    return names >= set(traces)


def test_a_contact_and_an_order_lead_to_their_mails_in_one_trace_each(running: Running):
    make_journey(running, "traced", 'contact.tags.exists(t, t == "traced")')
    make_journey(
        running, "bought-tea", "events.order_placed.exists(o, o.amount > 0.0) && 'tea' in contact.tags"
    )
    upserts, orders = [], []
    for _ in range(3):
        with SHOP.start_as_current_span("registration") as span:
            upserts.append(span.get_span_context())
            new_contact(running.rapport, tags=["traced"])
    drinker = new_contact(running.rapport, tags=["tea"])
    # Events of two services come in any order: who is known last would let the contact enter, in its own trace.
    until(lambda: is_known(running, drinker), "segmentation knows who buys")
    with SHOP.start_as_current_span("checkout") as span:
        orders.append(span.get_span_context())
        place_order(running.rapport, drinker)
    ids = [f"{own.trace_id:032x}" for own in upserts + orders]
    until(lambda: handed_over(running, ids), "each of the four is written to, in its own trace")
    assert sum(mail.message["Subject"] in ("traced", "bought-tea") for mail in running.mailbox.mails()) == 4

    for own, first in [
        *(
            (own, ("rapport-contacts-api", "rapport.contacts.v1.ContactService/UpsertContact"))
            for own in upserts
        ),
        *((own, ("rapport-sales-api", "rapport.sales.v1.SalesService/PlaceOrder")) for own in orders),
    ]:
        way = path(running, f"{own.trace_id:032x}")
        taken_in = "segmentation.on_contacts" if "contacts" in first[0] else "segmentation.on_sales"
        assert [(span.process, span.name) for span in way] == [
            first,
            ("rapport-segmentation-worker", taken_in),
            ("rapport-campaign-worker", "campaign.start_from_segments"),
            ("rapport-campaign-sender", "campaign.sender hand_over"),
        ]
        assert way[0].parent == f"{own.span_id:016x}"
        assert [span.kind for span in way] == ["server", "consumer", "consumer", "producer"]
        assert not any(span.error for span in way)
        assert [span.start for span in way] == sorted(span.start for span in way)
    assert running.collector.problems == []


def test_nobody_is_traced_who_did_not_ask(running: Running):
    before = len(running.collector.spans)
    new_contact(running.rapport)
    until(lambda: all_events_have_their_effects(running.rapport), "the events have had their effects")
    assert [span.name for span in running.collector.spans[before:]] == []


@pytest.mark.parametrize("service", SERVICES)
def test_each_process_shows_its_figures(running: Running, service: str):
    new_contact(running.rapport)
    until(lambda: all_events_have_their_effects(running.rapport), "the events have had their effects")
    api, worker = (page(running, service, role) for role in ("api", "worker"))
    assert api["rapport_figures_readable"] == 1
    assert api["rapport_outbox_waiting_events"] == api["rapport_outbox_waiting_seconds"] == 0
    assert all(value == 0 for name, value in api.items() if name.startswith("rapport_consumer_lag_"))
    assert worker["rapport_database_pool_size"] == api["rapport_database_pool_size"] == 12
    if service == "contacts":
        assert 'rapport_consumer_lag_events{consumer="segmentation.on_contacts"}' in api
    if service == "segmentation":
        assert api["rapport_segmentation_upkeep_delay_seconds"] == 0
        assert worker['rapport_event_batch_seconds_count{consumer="segmentation.on_contacts"}'] > 0
        assert worker['rapport_timer_seconds_count{timer="segmentation.expire"}'] > 0
    if service == "care":
        assert api["rapport_care_promise_delay_seconds"] == 0
    if service == "campaign":
        assert api['rapport_campaign_messages_in_hand{state="sending"}'] == 0


def page(running: Running, service: str, role: str) -> dict[str, float]:
    """Return what a process shows to Prometheus, by name and labels."""
    port = running.settings.metrics_port(service, role)
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=20) as answer:
        text = answer.read().decode()
    return {name: float(value) for name, value in re.findall(r"^(rapport_\S+) (\S+)$", text, re.MULTILINE)}
