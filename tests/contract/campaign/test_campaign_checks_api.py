"""What campaigns and journeys name is looked up when they are made, launched, scheduled and activated."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any
from uuid import UUID

import pytest
from rapport.campaign.v1 import campaign_pb2 as pb
from rapport_client import errors

from services.campaign import channels
from services.campaign.domain.circuit import CLOSED, OPEN
from services.campaign.models import kit
from services.campaign.simulation_codec import encode_simulation
from services.campaign.store import circuits
from services.campaign.store import templates as template_store
from services.campaign.store.circuits import CircuitRow
from services.campaign.usecases import simulating
from services.kit.names import parse_name
from services.kit.operations import OperationContext
from services.kit.operations import store as operations
from services.kit.plugins import PluginHost
from tests.support.campaign_desk import Desk, draft
from tests.support.campaign_fakes import Directory

SMS_URL = "CHANNEL_UNAVAILABLE: sms.http: open raised ValueError: set url: how the provider is asked"
SCHEDULE = {"start_time": "2026-04-01T09:00"}


@pytest.fixture(autouse=True)
def template(desk: Desk) -> str:
    """The template that campaigns name."""
    return desk.template()


def launches(api: Any, name: str) -> list[Any]:
    """Return the ways to launch a campaign, or to let it be launched."""
    return [
        lambda: api.launch_campaign(name=name, validate_only=True),
        lambda: api.launch_campaign(name=name),
        lambda: api.schedule_campaign(name=name, schedule=SCHEDULE),
    ]


def refuse(calls: list[Any], kind: type[errors.RapportError], reason: str, told: str) -> None:
    for call in calls:
        with pytest.raises(kind) as caught:
            call()
        assert caught.value.reason == reason
        assert told in caught.value.message


def is_draft(api: Any, name: str) -> bool:
    return bool(api.get_campaign(name=name).campaign.state == pb.Campaign.STATE_DRAFT)


def store_text(desk: Desk, text: str) -> None:
    """Give the template `hello` a text as an earlier version stored it, which checked no names."""
    with desk.served.runtime.db.transaction() as connection:
        found = template_store.get(connection, "hello")
        assert found is not None
        contents = (replace(found.contents[0], text=text),)
        template_store.update(connection, replace(found, contents=contents))


def test_a_segment_that_is_not_there(desk: Desk, api: Any, directory: Directory) -> None:
    directory.members["segments/vietnam"] = set()
    told = "segments/vietnm does not exist: did you mean segments/vietnam?"
    with pytest.raises(errors.NotFound) as caught:
        desk.campaign(segment="segments/vietnm")
    assert [(item.field, item.description) for item in caught.value.violations] == [
        ("campaign.segment", told)
    ]
    with pytest.raises(errors.NotFound):
        api.get_campaign(name="campaigns/spring")
    name = desk.campaign(segment="segments/vietnam")
    del directory.members["segments/vietnam"]
    told = "campaigns/spring: segments/vietnam does not exist"
    refuse(launches(api, name), errors.NotFound, "NOT_FOUND", told)
    assert is_draft(api, name)
    directory.members["segments/vietnams"] = set()
    refuse(launches(api, name), errors.NotFound, "NOT_FOUND", f"{told}: did you mean segments/vietnams?")


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (
            "\n{{ contact.frist_name }}",
            "line 2: nothing is named 'contact.frist_name', so it would be empty: did you",
        ),
        (
            "{{ event.total }}",
            "line 1: 'event.total' would be empty, as there is no event but in journeys: take it",
        ),
        (
            "{{ coupon }}",
            "line 1: 'coupon' would be empty, as there is no coupon without a coupon pool: take it",
        ),
        ("{% if %}", "line 1: Expected an expression"),
    ],
)
def test_what_a_template_names_and_would_be_empty_for_everybody(
    desk: Desk, api: Any, text: str, told: str
) -> None:
    name = desk.campaign()
    store_text(desk, text)
    told = f"templates/hello, text, {told}"
    refuse(launches(api, name), errors.FailedPrecondition, "TEMPLATE_NAMES", f"campaigns/spring: {told}")
    assert is_draft(api, name)
    refuse([lambda: desk.campaign("summer")], errors.InvalidArgument, "TEMPLATE_NAMES", told)


def test_what_a_template_names_with_a_fallback_may_be_missing(desk: Desk, api: Any) -> None:
    name = desk.campaign()
    store_text(desk, "{{ event.name | default('you') }} {% if coupon %}{{ coupon }}{% endif %}")
    assert api.launch_campaign(name=name, validate_only=True).audience_size == 0
    store_text(desk, "{{ coupon }}")
    with_pool = desk.campaign("summer", coupon_pool=desk.pool())
    assert api.launch_campaign(name=with_pool, validate_only=True).audience_size == 0


def test_the_templates_of_variants_are_looked_at_as_well(desk: Desk, api: Any) -> None:
    name = desk.campaign()
    desk.template("other", text="{{ event.total }}")
    variants = [{"id": "a"}, {"id": "b", "template": "templates/other"}]
    api.create_experiment(campaign=name, experiment={"variants": variants})
    told = "templates/other, text, line 1: 'event.total' would be empty"
    refuse(launches(api, name), errors.FailedPrecondition, "TEMPLATE_NAMES", told)


def test_a_journey_has_an_event_and_a_coupon_where_there_is_a_pool(desk: Desk, api: Any) -> None:
    desk.template("other", text="{{ event.total.amount }} {{ coupon }}")
    send = {"template": "templates/other", "channel": "email.smtp", "topic": "marketing"}
    journey = {"trigger": {"event_type": "order.placed"}, "steps": [{"send": send}]}
    api.create_journey(journey_id="thanks", journey=journey)
    told = (
        "step 'step1': templates/other, text, line 1: 'coupon' would be empty, as there is no coupon without"
    )
    with pytest.raises(errors.InvalidArgument) as caught:
        api.activate_journey(name="journeys/thanks")
    [violation] = caught.value.violations
    assert violation.field == "journey.steps[0].send.template"
    assert violation.description.startswith(told)
    [problem] = api.validate_journey(journey=journey).problems
    assert problem.field == "journey.steps[0].send.template"
    send["coupon_pool"] = desk.pool()
    assert not api.validate_journey(journey=journey).problems


@pytest.fixture
def unset(desk: Desk) -> Iterator[None]:
    """The channel sms.http, of whose settings none is given."""
    channels.provide(desk.served.runtime, PluginHost(("email", "sms", "webhook"), (), {}))
    try:
        yield
    finally:
        channels.release(desk.served.runtime)


@pytest.mark.usefixtures("unset")
def test_a_channel_that_is_not_set_up_is_told_of(desk: Desk, api: Any) -> None:
    name = desk.campaign(channel="sms.http")
    for options in ({"validate_only": True}, {}):
        [warning] = api.launch_campaign(name=name, **options).warnings
        assert warning.startswith(SMS_URL)
        assert warning.endswith("; messages wait until that is put right")
    assert list(api.launch_campaign(name=desk.campaign("summer"), validate_only=True).warnings) == []
    # A variant's channel counts as well as the campaign's own.
    both = desk.campaign("both")
    variants = [{"id": "a"}, {"id": "b", "channel": "sms.http"}]
    api.create_experiment(campaign=both, experiment={"variants": variants})
    [warning] = api.launch_campaign(name=both, validate_only=True).warnings
    assert warning.startswith(SMS_URL)


@pytest.mark.usefixtures("unset")
def test_a_simulation_says_what_would_wait_for_its_channel(desk: Desk, api: Any) -> None:
    by_name = api.simulate_campaign(name=desk.campaign(channel="sms.http")).operation
    given = api.simulate_campaign(campaign=draft(channel="sms.http")).operation
    send = {"template": "templates/hello", "channel": "sms.http", "topic": "marketing"}
    journey = {"trigger": {"event_type": "order.placed"}, "steps": [{"send": send}]}
    for operation in (by_name, given, api.simulate_journey(journey=journey).operation):
        summary = simulate(desk, operation)
        [told] = [text for text in summary.assumptions if "CHANNEL_UNAVAILABLE" in text]
        assert told.startswith(SMS_URL)
        assert told.endswith("; messages would wait, and are simulated as if that was put right")
    fine = simulate(desk, api.simulate_campaign(name=desk.campaign("summer")).operation)
    assert not [text for text in fine.assumptions if "CHANNEL_UNAVAILABLE" in text]


def test_a_simulation_of_a_channel_whose_plugin_is_gone_is_refused_as_a_launch_is(
    desk: Desk, api: Any
) -> None:
    name = desk.campaign()
    channels.provide(desk.served.runtime, PluginHost(("sms",), (), {}))
    try:
        calls = [*launches(api, name), lambda: api.simulate_campaign(name=name)]
        told = "campaigns/spring: no plugin offers the channel 'email.smtp' any more; there are: sms.http"
        refuse(calls, errors.FailedPrecondition, "UNKNOWN_CHANNEL", told)
    finally:
        channels.release(desk.served.runtime)


def test_what_the_senders_found_last_is_told(desk: Desk, api: Any) -> None:
    name = desk.campaign()
    row = CircuitRow(
        channel="email.smtp", domain="", state=OPEN, failures=3, retry_seconds=4.0, problem="no route to host"
    )
    other = replace(row, domain="a.test", problem="greylisted")
    runtime = desk.served.runtime
    told = "CHANNEL_UNAVAILABLE: email.smtp: no route to host; messages wait until that is put right"
    for rows, warnings in (([row, other], [told]), ([other], []), ([replace(row, state=CLOSED)], [])):
        with runtime.db.transaction() as connection:
            circuits.save(connection, UUID(int=1), rows, runtime.clock.now())
        assert list(api.launch_campaign(name=name, validate_only=True).warnings) == warnings


def simulate(desk: Desk, operation: Any) -> Any:
    """Do a simulation as a worker does, and return its summary."""
    runtime = desk.served.runtime
    with runtime.db.transaction() as connection:
        claimed = operations.claim(connection, kit, parse_name(operation.name, "operations"))
    assert claimed is not None
    work = (
        simulating.simulate_campaign if operation.kind == "simulate_campaign" else simulating.simulate_journey
    )
    return encode_simulation(work(runtime, OperationContext(runtime.db, kit, claimed))).summary
