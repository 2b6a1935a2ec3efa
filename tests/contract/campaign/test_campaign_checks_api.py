"""What campaigns and journeys name is looked up when they are made, launched, scheduled and activated."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from rapport.campaign.v1 import campaign_pb2 as pb
from rapport_client import errors

from services.campaign.store import templates as template_store
from tests.support.campaign_desk import Desk
from tests.support.campaign_fakes import Directory

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
    told = "step '1': templates/other, text, line 1: 'coupon' would be empty, as there is no coupon without"
    with pytest.raises(errors.InvalidArgument) as caught:
        api.activate_journey(name="journeys/thanks")
    [violation] = caught.value.violations
    assert violation.field == "journey.steps[0].send.template"
    assert violation.description.startswith(told)
    [problem] = api.validate_journey(journey=journey).problems
    assert problem.field == "journey.steps[0].send.template"
    send["coupon_pool"] = desk.pool()
    assert not api.validate_journey(journey=journey).problems
