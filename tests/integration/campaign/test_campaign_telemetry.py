"""What campaign tells of itself: traces from an event to the hand-over, and figures of the ledger."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import Any

import pytest
from prometheus_client import REGISTRY
from rapport_testing.smtp import SmtpServer

from services.campaign.domain.journeys import Send
from services.campaign.domain.tracing import TRACE
from services.campaign.models import kit
from services.campaign.usecases import campaigns, journeys, messages, sending
from services.campaign.usecases.figures import message_figures
from services.campaign.usecases.messages import SingleMessage
from services.campaign.usecases.sending import Sender
from services.kit import context
from services.kit.context import CallContext
from services.kit.runtime import Runtime
from services.kit.telemetry import spans
from tests.integration.campaign.test_campaign_journeys import event, feed
from tests.support.campaign import (
    CHANNEL,
    NOW,
    World,
    clock_of,
    make_campaign,
    make_journey,
    make_template,
    plan,
)
from tests.support.spans import keeping_spans, trace_of

SEND = Send("hello", CHANNEL, "transactional")


def start_traced(runtime: Runtime, traces: Mapping[str, str]) -> None:
    """Let orders of contacts start journeys, in one batch."""
    causes = [(name.partition("/")[2], trace) for name, trace in traces.items()]
    call, links = spans.call_for("campaign.test", causes)
    with spans.work(call, links=links):
        feed(runtime, *(event(name, traceparent=trace) for name, trace in traces.items()))


def test_a_message_of_a_journey_leaves_in_the_trace_of_its_event(
    runtime: Runtime, world: World, sender: Sender, smtp: SmtpServer
) -> None:
    an, binh, chi = world.add(3)
    make_template(runtime, text="{{ event.type }} [{{ event._traceparent }}]")
    make_journey(runtime, [SEND], reentry_after=timedelta(0))
    traces = {an: trace_of("a"), binh: trace_of("b"), chi: trace_of("c", sampled=False)}
    with keeping_spans() as kept:
        start_traced(runtime, traces)
        started = {span.attributes["rapport.contact"]: span for span in kept}
        assert started.keys() == {an.removeprefix("contacts/"), binh.removeprefix("contacts/")}
        journeys.advance_journeys(runtime)
        kept.clear()
        sender.run_once()
        handed = {span.attributes["rapport.contact"]: span for span in kept}
    assert len(smtp.received()) == 3
    assert {mail.text.strip() for mail in smtp.received()} == {"order.placed []"}
    assert handed.keys() == started.keys()
    for key, span in handed.items():
        assert span.name == "campaign.sender hand_over"
        assert span.parent == started[key].traceparent
        assert span.traceparent[:36] == traces[f"contacts/{key}"][:36]
    # What the message tells goes on in its trace.
    with runtime.db.read() as connection:
        told = connection.execute(kit.outbox.select().where(kit.outbox.c.type == "message.sent")).all()
    found = {str(row.contact_id): row.traceparent for row in told}
    assert {key: found[key] for key in handed} == {key: span.traceparent for key, span in handed.items()}


def test_a_single_message_leaves_in_the_trace_of_its_call(
    runtime: Runtime, world: World, sender: Sender, smtp: SmtpServer
) -> None:
    [name] = world.add()
    given = SingleMessage(
        contact_id=None,
        channel=CHANNEL,
        topic="transactional",
        subject="Hello",
        text="Hello",
        reply_to="",
        in_reply_to="",
        address=world.people[name].address,
    )
    asked = trace_of("a")
    with keeping_spans() as kept, context.activate(CallContext("r1", traceparent=asked)):
        messages.send_message(runtime, given, "r1")
        # The same request in another trace is the same request.
        with context.activate(CallContext("r2", traceparent=trace_of("b"))):
            messages.send_message(runtime, given, "r1")
    with keeping_spans() as kept:
        sender.run_once()
    [span] = kept
    assert (span.parent, span.links, span.attributes["messaging.batch.message_count"]) == (asked, [], 1)
    assert len(smtp.received()) == 1


@pytest.mark.parametrize("recorded", [True, False])
def test_what_a_sender_asks_and_logs_of_a_batch_has_a_trace(
    runtime: Runtime,
    world: World,
    sender: Sender,
    smtp: SmtpServer,
    monkeypatch: pytest.MonkeyPatch,
    recorded: bool,
) -> None:
    """Also where no traces are recorded."""
    world.add(3)
    make_template(runtime)
    make_campaign(runtime)
    plan(runtime)
    seen: list[CallContext | None] = []
    prepare = sending.prepare

    def watched(*given: Any) -> Any:
        seen.append(context.current())
        context.outgoing_metadata()
        return prepare(*given)

    monkeypatch.setattr(sending, "prepare", watched)
    if recorded:
        with keeping_spans() as kept:
            context.sample_by(lambda trace: True)
            sender.run_once()
    else:
        kept = []
        sender.run_once()
    assert len(smtp.received()) == 3
    [call] = seen
    assert call is not None
    assert (call.method, len(call.traceparent), bool(call.request_id)) == ("campaign.sender", 55, True)
    batches = [span for span in kept if span.name == "campaign.sender batch"]
    assert [(span.traceparent, span.parent) for span in batches] == [(call.traceparent, "")] * recorded
    assert context.current() is None


def test_nothing_is_carried_of_what_is_not_recorded(runtime: Runtime, world: World) -> None:
    [name] = world.add()
    make_template(runtime)
    make_journey(runtime, [SEND])
    feed(runtime, event(name, traceparent=trace_of("a", sampled=False)))
    with runtime.db.read() as connection:
        [stored] = connection.exec_driver_sql("SELECT event FROM journey_entry").scalars()
    assert TRACE not in stored


def figures(runtime: Runtime) -> dict[tuple[str, ...], float]:
    with runtime.db.read() as connection:
        found = list(message_figures(connection, runtime.clock.now()))
    return {(s.name, *s.labels.values()): s.value for family in found for s in family.samples}


def test_what_is_due_and_what_became_of_it_are_counted(
    runtime: Runtime, world: World, sender: Sender, smtp: SmtpServer
) -> None:
    claimed, sending = (("rapport_campaign_messages_in_hand", state) for state in ("claimed", "sending"))
    nothing = {claimed: 0, sending: 0}
    due, since = (f"rapport_campaign_messages_due{suffix}" for suffix in ("", "_seconds"))
    assert figures(runtime) == nothing
    world.add(3)
    world.add(1, consent=0)
    make_template(runtime)
    make_campaign(runtime)
    plan(runtime)
    clock_of(runtime).instant = NOW + timedelta(minutes=20)
    assert figures(runtime) == {**nothing, (due, CHANNEL): 4, (since, CHANNEL): 1200}
    campaigns.change_state(runtime, "pause", "spring")
    assert figures(runtime) == nothing
    campaigns.change_state(runtime, "resume", "spring")

    def counted(state: str) -> float:
        labels = {"channel": CHANNEL, "state": state}
        return REGISTRY.get_sample_value("rapport_campaign_messages_total", labels) or 0

    before = {state: counted(state) for state in ("sent", "suppressed")}
    sender.run_once()
    assert counted("sent") - before["sent"] == 3
    assert counted("suppressed") - before["suppressed"] == 1
    assert figures(runtime) == nothing
    assert REGISTRY.get_sample_value("rapport_campaign_hand_over_seconds_count", {"channel": CHANNEL})
