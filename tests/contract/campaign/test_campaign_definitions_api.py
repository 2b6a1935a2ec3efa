"""Sets of definitions over a real port: compared, applied all or none, the same again changes nothing."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from rapport.campaign.v1 import campaign_pb2
from rapport.campaign.v1 import definitions_pb2 as pb
from rapport_client import errors

from services.kit.wire import to_duration
from tests.support.campaign_desk import CONTENT, Desk, draft

CREATED, CHANGED, UNCHANGED, DELETED = 1, 2, 3, 4


def template(key: str = "hello", text: str = "Hello") -> pb.Definition:
    return pb.Definition(template={"name": f"templates/{key}", "contents": [{**CONTENT, "text": text}]})


def journey(key: str = "welcome", uses: str = "hello", *, active: bool = False, **send: str) -> pb.Definition:
    step = {"template": f"templates/{uses}", "channel": "email.smtp", "topic": "marketing", **send}
    return pb.Definition(
        journey={
            "name": f"journeys/{key}",
            "trigger": {"event_type": "order.placed"},
            "steps": [{"wait": {"duration": to_duration(timedelta(days=1))}}, {"send": step}],
        },
        active=active,
    )


def campaign(key: str = "spring", start: str = "", recurrence: str = "", **fields: Any) -> pb.Definition:
    made = pb.Definition(campaign={"name": f"campaigns/{key}", **draft(**fields)})
    if start:
        made.schedule.start_time, made.schedule.recurrence = start, recurrence
    return made


def policy(key: str = "nights", **fields: Any) -> pb.Definition:
    span = {"start_minute": 1320, "end_minute": 480}
    return pb.Definition(send_policy={"name": f"sendPolicies/{key}", "quiet_hours": [span], **fields})


def limit(key: str = "all", count: int = 100) -> pb.Definition:
    return pb.Definition(rate_limit={"name": f"rateLimits/{key}", "channels": ["email.smtp"], "count": count})


def everything() -> list[pb.Definition]:
    # Those that name others come first here, and last when they are stored.
    return [
        campaign(start="2026-04-01T09:00", recurrence="FREQ=WEEKLY"),
        journey(active=True),
        policy(),
        limit(),
        template(),
    ]


def apply(api: Any, *definitions: pb.Definition, **fields: Any) -> list[pb.DefinitionChange]:
    wanted = [pb.WantedDefinition(definition=item) for item in definitions]
    return list(api.apply_definitions(changes=wanted, **fields).changes)


def actions(changes: Any) -> list[int]:
    return [item.action for item in changes]


def test_compare_definitions_says_what_apply_would_do_and_stores_nothing(desk: Desk, api: Any) -> None:
    desk.directory.add()
    changes = api.compare_definitions(definitions=everything()).changes
    assert actions(changes) == [CREATED] * 5
    assert [item.name for item in changes][:2] == ["campaigns/spring", "journeys/welcome"]
    assert changes[0].definition.schedule.time_zone == "UTC"
    assert [step.id for step in changes[1].definition.journey.steps] == ["step1", "step2"]
    assert changes[3].definition.rate_limit.burst == 20
    assert list(api.list_templates().templates) == []
    assert list(api.list_journeys().journeys) == []
    assert list(api.list_send_policies().policies) == []


def test_apply_definitions_brings_a_set_about_and_again_has_nothing_to_do(desk: Desk, api: Any) -> None:
    desk.directory.add()
    assert actions(apply(api, *everything())) == [CREATED] * 5
    stored = api.get_journey(name="journeys/welcome").journey
    assert (stored.active, stored.version) == (True, 1)
    assert api.get_campaign(name="campaigns/spring").campaign.state == campaign_pb2.Campaign.STATE_SCHEDULED
    schedule = api.get_campaign_schedule(name="campaigns/spring")
    assert schedule.schedule.recurrence == "FREQ=WEEKLY"
    etag = api.get_template(name="templates/hello").template.etag
    assert actions(apply(api, *everything())) == [UNCHANGED] * 5
    assert api.get_template(name="templates/hello").template.etag == etag
    assert api.get_journey(name="journeys/welcome").journey.version == 1
    changed = apply(
        api,
        campaign(display_name="Spring"),
        journey(topic="news"),
        policy(topic="marketing"),
        limit(count=5),
        template(text="Bye"),
    )
    assert actions(changed) == [CHANGED] * 5
    # What is left out is empty: no schedule, not active.
    assert api.get_campaign(name="campaigns/spring").campaign.state == campaign_pb2.Campaign.STATE_DRAFT
    stored = api.get_journey(name="journeys/welcome").journey
    assert (stored.active, stored.version, stored.steps[1].send.topic) == (False, 2, "news")
    assert changed[1].previous.active
    assert changed[4].previous.template.contents[0].text == "Hello"


def test_apply_definitions_is_all_or_none_and_names_each_field(desk: Desk, api: Any) -> None:
    bad = journey(uses="missing", channel="pigeon")
    bad.journey.steps[0].next = "nowhere"
    wrong = [template(), template("broken", "{% if %}"), bad, limit(count=0), campaign(topic="No Topic")]
    with pytest.raises(errors.InvalidArgument) as caught:
        apply(api, *wrong)
    assert caught.value.reason == "INVALID_DEFINITIONS"
    assert [item.field for item in caught.value.violations] == [
        "changes[1].definition.template.contents[0].text",
        "changes[2].definition.journey.steps[0]",
        "changes[2].definition.journey.steps[1].send.channel",
        "changes[2].definition.journey.steps[1].send.template",
        "changes[3].definition.rate_limit.count",
        "changes[4].definition.campaign.topic",
    ]
    assert list(api.list_templates().templates) == []
    problems = api.compare_definitions(definitions=wrong).changes[2].problems
    assert [item.field for item in problems][-1] == "journey.steps[1].send.template"
    assert problems[-1].reason == "INVALID_JOURNEY"
    # What only fails because another does is told once.
    [first, second] = api.compare_definitions(
        definitions=[template("broken", "{% if %}"), journey(uses="broken")]
    ).changes
    assert "line 1" in first.problems[0].description
    assert [item.field for item in second.problems] == ["journey"]


def test_apply_definitions_refuses_what_was_changed_since_it_was_compared(desk: Desk, api: Any) -> None:
    apply(api, policy(), journey_template := template())
    compared = api.compare_definitions(definitions=[policy(topic="marketing")]).changes[0]
    apply(api, policy(topic="news"))
    wanted = pb.WantedDefinition(definition=policy(topic="marketing"), etag=compared.etag)
    with pytest.raises(errors.Aborted) as caught:
        api.apply_definitions(changes=[wanted])
    assert caught.value.reason == "ETAG_MISMATCH"
    with pytest.raises(errors.AlreadyExists):
        api.apply_definitions(changes=[pb.WantedDefinition(definition=journey_template, create_only=True)])
    wanted.etag = api.compare_definitions(definitions=[policy()]).changes[0].etag
    assert actions(api.apply_definitions(changes=[wanted]).changes) == [CHANGED]


def test_apply_definitions_leaves_a_launched_campaign_alone(desk: Desk, api: Any) -> None:
    desk.directory.add()
    apply(api, template(), campaign())
    desk.launch("campaigns/spring")
    assert actions(apply(api, campaign())) == [UNCHANGED]
    with pytest.raises(errors.FailedPrecondition) as caught:
        apply(api, campaign(topic="news"))
    assert caught.value.reason == "CAMPAIGN_STATE"
    assert [item.field for item in caught.value.violations] == ["changes[0].definition.campaign"]
    with pytest.raises(errors.FailedPrecondition):
        apply(api, campaign(start="2026-04-01T09:00"))


def test_apply_definitions_changes_a_scheduled_campaign_and_keeps_its_schedule(desk: Desk, api: Any) -> None:
    apply(api, template(), campaign(start="2026-04-01T09:00"))
    apply(api, campaign(start="2026-04-01T09:00", display_name="Spring"))
    stored = api.get_campaign(name="campaigns/spring").campaign
    assert (stored.display_name, stored.state) == ("Spring", campaign_pb2.Campaign.STATE_SCHEDULED)
    api.set_approval_policy(policy={"topic": "marketing", "always": True})
    with pytest.raises(errors.FailedPrecondition) as caught:
        apply(api, campaign(start="2026-04-01T09:00", display_name="Other"))
    assert caught.value.reason == "APPROVAL_REQUIRED"
    with pytest.raises(errors.InvalidArgument) as bad:
        apply(api, campaign("other", start="2026-04-01T09:00", recurrence="FREQ=SECONDLY"))
    assert bad.value.violations[0].field == "changes[0].definition.schedule.recurrence"


def test_apply_definitions_deletes_limits_first(desk: Desk, api: Any) -> None:
    apply(api, policy("old"), limit())
    # The scope of the old one is free for the new one.
    gone = [pb.UnwantedDefinition(name="sendPolicies/old"), pb.UnwantedDefinition(name="rateLimits/all")]
    assert actions(apply(api, policy("new"), deletions=gone)) == [CREATED, DELETED, DELETED]
    assert [item.name for item in api.list_send_policies().policies] == ["sendPolicies/new"]
    with pytest.raises(errors.InvalidArgument):
        apply(api, deletions=[pb.UnwantedDefinition(name="templates/hello")])


def test_definitions_are_of_one_kind_and_given_once(api: Any) -> None:
    for wrong in (
        [pb.Definition()],
        [template(), template()],
        [pb.Definition(template=template().template, active=True)],
    ):
        with pytest.raises(errors.InvalidArgument) as caught:
            api.compare_definitions(definitions=wrong)
        assert caught.value.reason == "INVALID_DEFINITIONS"


def test_a_journey_to_be_active_is_checked_with_other_services(desk: Desk, api: Any) -> None:
    leaving = journey(active=True)
    leaving.journey.exits.add(event_type="segment.entered", segment="segments/none")
    [problem] = api.compare_definitions(definitions=[template(), leaving]).changes[1].problems
    assert problem.field == "journey.exits[0].segment"
    leaving.active = False
    assert list(api.compare_definitions(definitions=[template(), leaving]).changes[1].problems) == []
