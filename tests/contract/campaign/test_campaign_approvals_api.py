"""Approval over a real port: policies, requests, decisions by somebody else, and launches that need them."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from rapport.campaign.v1 import approvals_pb2 as pb
from rapport_client import errors
from rapport_client.retry import NO_RETRY

from services.campaign.usecases import schedules
from services.kit.wire import from_timestamp
from tests.support.campaign_desk import CONTENT, Desk, draft
from tests.support.campaign_fakes import EVERYBODY, Directory
from tests.support.stack import NOW, Served

State = pb.Approval
EUR = {"currency_code": "EUR", "units": 5}


@pytest.fixture
def name(desk: Desk, directory: Directory) -> str:
    """A draft to ten people, with a policy that asks for approval of all."""
    for _ in range(10):
        directory.add()
    desk.template()
    desk.api.set_approval_policy(policy={"always": True})
    return desk.campaign()


@pytest.fixture
def boss(served: Served) -> Any:
    """Somebody else, who may approve and nothing more."""
    return served.client_with("campaign.approve", "campaign.read")


def reason(caught: pytest.ExceptionInfo[errors.RapportError]) -> str:
    return str(caught.value.reason)


def test_set_approval_policy(api: Any) -> None:
    given = {
        "topic": "marketing",
        "audience_above": 100,
        "budget_above": {"currency_code": "VND", "units": 5_000_000},
        "size_tolerance_percent": 5,
    }
    stored = api.set_approval_policy(policy=given).policy
    assert (stored.topic, stored.audience_above, stored.size_tolerance_percent) == ("marketing", 100, 5)
    assert (stored.budget_above.units, from_timestamp(stored.update_time)) == (5_000_000, NOW)
    changed = api.set_approval_policy(policy={"topic": "marketing", "always": True}).policy
    assert changed.always
    assert not changed.HasField("audience_above")
    assert not changed.HasField("budget_above")
    for policy, field in (
        ({"topic": "Not a topic"}, "policy.topic"),
        ({"budget_above": {"currency_code": "dong", "units": 1}}, "policy.budget_above"),
        ({"size_tolerance_percent": 101}, "policy.size_tolerance_percent"),
    ):
        with pytest.raises(errors.InvalidArgument) as caught:
            api.set_approval_policy(policy=policy)
        assert {item.field for item in caught.value.violations} == {field}


def test_list_approval_policies(api: Any) -> None:
    for topic in ("news", "", "alerts"):
        api.set_approval_policy(policy={"topic": topic, "always": True})
    assert [item.topic for item in api.list_approval_policies().policies] == ["", "alerts", "news"]


def test_delete_approval_policy(desk: Desk, api: Any, name: str) -> None:
    api.delete_approval_policy(topic="")
    api.delete_approval_policy(topic="")
    assert not api.list_approval_policies().policies
    assert api.launch_campaign(name=name).operation.name


def test_request_approval(api: Any, name: str) -> None:
    first = api.request_approval(name=name, comment="for Monday", request_id="once").approval
    assert (first.state, first.requester, first.request_comment) == (
        State.STATE_REQUESTED,
        "owner",
        "for Monday",
    )
    assert dict(first.subject) == {
        "segment": EVERYBODY,
        "segment_version": "1",
        "audience": "10",
        "template": "templates/hello",
        "template:hello": "1",
        "channel": "email.smtp",
        "topic": "marketing",
        "coupon_pool": "",
        "budget": "",
        "evergreen": "",
        "experiment": "",
        "links": "",
        "unknown_policy": "",
    }
    assert len(first.fingerprint) == 64
    assert api.request_approval(name=name, comment="for Monday", request_id="once").approval == first
    second = api.request_approval(name=name).approval
    states = {item.name: item.state for item in api.list_approvals().approvals}
    assert states == {first.name: State.STATE_WITHDRAWN, second.name: State.STATE_REQUESTED}
    with pytest.raises(errors.NotFound):
        api.request_approval(name="campaigns/none")


def test_approve_campaign(desk: Desk, api: Any, boss: Any, name: str) -> None:
    with pytest.raises(errors.FailedPrecondition) as caught:
        api.launch_campaign(name=name)
    assert reason(caught) == "APPROVAL_REQUIRED"
    with pytest.raises(errors.FailedPrecondition) as caught:
        boss.approve_campaign(name=name)
    assert reason(caught) == "NOT_REQUESTED"
    asked = api.request_approval(name=name).approval
    with pytest.raises(errors.FailedPrecondition, match="nobody has decided"):
        api.launch_campaign(name=name, validate_only=True)
    with pytest.raises(errors.PermissionDenied) as denied:
        api.approve_campaign(name=name)
    assert reason(denied) == "SAME_PERSON"
    with pytest.raises(errors.Aborted):
        boss.approve_campaign(name=name, fingerprint="0" * 64)
    done = boss.approve_campaign(name=name, comment="fine", fingerprint=asked.fingerprint).approval
    assert (done.state, done.decision_comment) == (State.STATE_APPROVED, "fine")
    assert done.decider.startswith("test-")
    assert from_timestamp(done.decide_time) == NOW
    desk.launch(name)
    assert desk.send() == 10
    with pytest.raises(errors.FailedPrecondition) as caught:
        boss.approve_campaign(name=name)
    assert reason(caught) == "CAMPAIGN_STATE"


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ("template", "templates/hello was revision 1 and is 2"),
        ("member", "the number of members was 10 and is 11"),
        ("rule", "the version of the segment's rule was 1 and is 2"),
        ("budget", "the budget was none and is 5.5 EUR"),
        ("experiment", "the experiment is another one"),
    ],
)
def test_approve_campaign_holds_for_what_was_approved(
    desk: Desk, api: Any, boss: Any, directory: Directory, name: str, change: str, words: str
) -> None:
    """Any change between the request and the decision, or the decision and the launch, is named and stops it."""

    def make_change() -> None:
        match change:
            case "template":
                template = {"name": "templates/hello", "contents": [{**CONTENT, "text": "Buy!"}]}
                api.update_template(template=template, update_mask=["contents"])
            case "member":
                directory.add()
            case "rule":
                directory.version += 1
            case "budget":
                budget = {"currency_code": "EUR", "units": 5, "nanos": 500_000_000}
                api.set_budget(origin=name, budget=budget)
            case "experiment":
                experiment = {"variants": [{"id": "a"}, {"id": "b"}]}
                api.create_experiment(campaign=name, experiment=experiment)

    api.request_approval(name=name)
    boss.approve_campaign(name=name)
    make_change()
    for validate_only in (True, False):
        with pytest.raises(errors.FailedPrecondition) as caught:
            api.launch_campaign(name=name, validate_only=validate_only)
        assert reason(caught) == "APPROVAL_VOID"
        assert words in str(caught.value)
    checked = api.check_approval(name=name)
    assert not checked.launchable
    assert words in "; ".join(checked.changes)
    if change == "template":
        return  # its third revision would be another story
    api.delete_approval_policy()
    api.set_approval_policy(policy={"always": True, "size_tolerance_percent": 20})
    assert api.check_approval(name=name).launchable is (change == "member")


def test_approve_campaign_of_what_changed_since_the_request_is_refused(
    api: Any, boss: Any, directory: Directory, name: str
) -> None:
    api.request_approval(name=name)
    directory.add()
    with pytest.raises(errors.FailedPrecondition) as caught:
        boss.approve_campaign(name=name)
    assert reason(caught) == "APPROVAL_VOID"


def test_reject_campaign(api: Any, boss: Any, name: str) -> None:
    api.request_approval(name=name)
    with pytest.raises(errors.PermissionDenied):
        api.reject_campaign(name=name, comment="I changed my mind")
    done = boss.reject_campaign(name=name, comment="too long").approval
    assert (done.state, done.decision_comment) == (State.STATE_REJECTED, "too long")
    with pytest.raises(errors.FailedPrecondition, match="rejected") as caught:
        api.launch_campaign(name=name)
    assert reason(caught) == "APPROVAL_REQUIRED"
    with pytest.raises(errors.FailedPrecondition):
        boss.approve_campaign(name=name)


def test_check_approval(desk: Desk, api: Any, boss: Any, directory: Directory, name: str) -> None:
    checked = api.check_approval(name=name)
    assert (list(checked.reasons), checked.launchable) == (["all campaigns need it"], False)
    assert not checked.HasField("approval")
    api.set_approval_policy(
        policy={
            "topic": "marketing",
            "audience_above": 9,
            "budget_above": {"currency_code": "EUR", "units": 1000},
        }
    )
    api.set_budget(origin=name, budget={"currency_code": "EUR", "units": 1000, "nanos": 1})
    assert list(api.check_approval(name=name).reasons) == [
        "10 members are more than 9",
        "the budget of 1000.000000001 EUR is more than 1000 EUR",
    ]
    api.set_approval_policy(policy={"topic": "marketing", "audience_above": 10})
    free = api.check_approval(name=name)
    assert (list(free.reasons), free.launchable) == ([], True)
    # Nobody knows how many will have entered the segment by the end.
    evergreen = api.check_approval(name=desk.campaign("evergreen", evergreen=True))
    assert (list(evergreen.reasons), evergreen.launchable) == (["it may reach more than 10 people"], False)
    directory.down = True
    with pytest.raises(errors.Unavailable):
        api.check_approval(name=name, _retry=NO_RETRY)


def test_list_approvals(desk: Desk, api: Any, boss: Any, name: str) -> None:
    other = desk.campaign("other")
    for key in (name, other, name):
        api.request_approval(name=key)
    boss.reject_campaign(name=other, comment="no")
    newest = list(api.list_approvals.iterate(page_size=1))
    assert [item.campaign for item in newest] == [name, other, name]
    assert len(api.list_approvals(campaign=name).approvals) == 2
    [rejected] = api.list_approvals(state="STATE_REJECTED").approvals
    assert rejected.campaign == other


def test_what_was_approved_does_not_change_while_it_is_sent(
    desk: Desk, api: Any, boss: Any, name: str
) -> None:
    api.request_approval(name=name)
    boss.approve_campaign(name=name)
    operation = desk.launch(name)
    template = {"name": "templates/hello", "contents": [{**CONTENT, "text": "Buy!"}]}
    with pytest.raises(errors.FailedPrecondition) as caught:
        api.update_template(template=template, update_mask=["contents"])
    assert reason(caught) == "TEMPLATE_APPROVED"
    desk.send()
    desk.finish(operation)
    assert api.update_template(template=template, update_mask=["contents"]).template.etag


def test_what_was_approved_and_scheduled_does_not_change_unnoticed(
    desk: Desk, api: Any, boss: Any, name: str
) -> None:
    """The runs of a series send what was approved with it."""
    api.request_approval(name=name, recurrence="FREQ=DAILY")
    boss.approve_campaign(name=name)
    start = (NOW + timedelta(days=1)).replace(tzinfo=None, microsecond=0).isoformat()
    api.schedule_campaign(name=name, schedule={"start_time": start, "recurrence": "FREQ=DAILY"})
    with pytest.raises(errors.FailedPrecondition, match="how its links are counted is another one") as caught:
        api.set_link_settings(settings={"origin": name, "utm_source": "mail"})
    assert reason(caught) == "APPROVAL_VOID"
    assert not api.get_link_settings(origin=name).settings.utm_source
    with pytest.raises(errors.FailedPrecondition, match="the budget was none and is 5 EUR") as caught:
        api.set_budget(origin=name, budget=EUR)
    assert reason(caught) == "APPROVAL_VOID"
    experiment = {"variants": [{"id": "a"}, {"id": "b"}]}
    with pytest.raises(errors.FailedPrecondition) as caught:
        api.create_experiment(campaign=name, experiment=experiment)
    assert reason(caught) == "CAMPAIGN_STATE"
    assert api.check_approval(name=name).launchable
    template = {"name": "templates/hello", "contents": [{**CONTENT, "text": "Buy!"}]}
    for at in (NOW, NOW + timedelta(days=1)):
        desk.served.clock.instant = at
        assert schedules.launch_due(desk.served.runtime) == (at != NOW)
        with pytest.raises(errors.FailedPrecondition) as caught:
            api.update_template(template=template, update_mask=["contents"])
        assert reason(caught) == "TEMPLATE_APPROVED"
    with pytest.raises(errors.FailedPrecondition) as caught:
        api.set_budget(origin=f"{name}.1", budget=EUR)
    assert reason(caught) == "BUDGET_APPROVED"
    for origin in (name, f"{name}.1"):
        with pytest.raises(errors.FailedPrecondition) as caught:
            api.set_link_settings(settings={"origin": origin, "utm_source": "mail"})
        assert reason(caught) == "LINKS_APPROVED"


def test_who_approves_one_launch_approves_no_series(desk: Desk, api: Any, boss: Any, name: str) -> None:
    start = (NOW + timedelta(days=1)).replace(tzinfo=None, microsecond=0).isoformat()

    def schedule(recurrence: str) -> None:
        api.schedule_campaign(name=name, schedule={"start_time": start, "recurrence": recurrence})

    def refused(recurrence: str) -> str:
        with pytest.raises(errors.FailedPrecondition) as caught:
            schedule(recurrence)
        assert reason(caught) == "APPROVAL_VOID"
        return str(caught.value)

    api.request_approval(name=name)
    boss.approve_campaign(name=name)
    assert "how it recurs was none and is FREQ=DAILY" in refused("FREQ=DAILY")
    schedule("")
    api.unschedule_campaign(name=name)
    with pytest.raises(errors.InvalidArgument) as caught:
        api.request_approval(name=name, recurrence="every day")
    assert {item.field for item in caught.value.violations} == {"recurrence"}
    asked = api.request_approval(name=name, recurrence="FREQ=WEEKLY").approval
    assert asked.subject["recurrence"] == "FREQ=WEEKLY"
    boss.approve_campaign(name=name, fingerprint=asked.fingerprint)
    schedule("RRULE:FREQ=WEEKLY")
    assert "how it recurs was FREQ=WEEKLY and is FREQ=HOURLY" in refused("FREQ=HOURLY")
    assert api.check_approval(name=name).launchable
    # One launch is within what was approved; a new request for one is about one.
    schedule("")
    api.unschedule_campaign(name=name)
    assert "recurrence" not in api.request_approval(name=name).approval.subject


def test_a_scheduled_campaign_gets_no_budget_that_needs_approval(desk: Desk, api: Any, name: str) -> None:
    """What is taken back may be changed, and is asked about anew."""
    api.set_approval_policy(policy={"budget_above": {"currency_code": "EUR", "units": 4}})
    start = (NOW + timedelta(days=1)).replace(tzinfo=None, microsecond=0).isoformat()
    api.schedule_campaign(name=name, schedule={"start_time": start})
    less = {"currency_code": "EUR", "units": 4}
    assert api.set_budget(origin=name, budget=less).budget.units == 4
    with pytest.raises(errors.FailedPrecondition, match="the budget of 5 EUR is more than 4 EUR") as caught:
        api.set_budget(origin=name, budget=EUR)
    assert reason(caught) == "APPROVAL_REQUIRED"
    assert api.set_budget(origin=name, budget=less).budget.units == 4
    api.unschedule_campaign(name=name)
    assert api.set_budget(origin=name, budget=EUR).budget.units == 5
    with pytest.raises(errors.FailedPrecondition) as caught:
        api.schedule_campaign(name=name, schedule={"start_time": start})
    assert reason(caught) == "APPROVAL_REQUIRED"


def test_only_the_template_that_was_approved_last_is_bound(
    desk: Desk, api: Any, boss: Any, name: str
) -> None:
    desk.template("other")
    for uses in ("hello", "other"):
        changed = {"name": name, **draft(template=f"templates/{uses}")}
        api.apply_definitions(changes=[{"definition": {"campaign": changed}}])
        api.request_approval(name=name)
        boss.approve_campaign(name=name)
    start = (NOW + timedelta(days=1)).replace(tzinfo=None, microsecond=0).isoformat()
    api.schedule_campaign(name=name, schedule={"start_time": start})
    change = {"contents": [{**CONTENT, "text": "Buy!"}]}
    api.update_template(template={"name": "templates/hello", **change}, update_mask=["contents"])
    other = {"name": "templates/other", **change}
    with pytest.raises(errors.FailedPrecondition) as caught:
        api.update_template(template=other, update_mask=["contents"])
    assert reason(caught) == "TEMPLATE_APPROVED"
    api.unschedule_campaign(name=name)
    api.update_template(template=other, update_mask=["contents"])
    with pytest.raises(errors.FailedPrecondition) as caught:
        api.schedule_campaign(name=name, schedule={"start_time": start})
    assert reason(caught) == "APPROVAL_VOID"
