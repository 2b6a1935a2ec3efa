"""Approval of journeys over a real port: nobody is put on what only its maker has seen."""

from __future__ import annotations

from typing import Any

import pytest
from rapport.campaign.v1 import approvals_pb2 as pb
from rapport_client import errors

from tests.contract.campaign.test_campaign_journeys_api import SEND, WAIT, create, journey, place_order
from tests.support.campaign_desk import CONTENT, Desk
from tests.support.stack import Served

NAME = "journeys/thanks"


@pytest.fixture(autouse=True)
def policy(desk: Desk, api: Any) -> None:
    """A journey that needs approval."""
    desk.template()
    create(api, "thanks", WAIT, SEND)
    api.set_approval_policy(policy={"topic": "marketing", "always": True})


@pytest.fixture
def boss(served: Served) -> Any:
    """Somebody else, who may approve, and write."""
    return served.client_with("campaign.approve", "campaign.read", "campaign.write")


def reason(call: Any, **values: Any) -> str:
    with pytest.raises(errors.RapportError) as caught:
        call(**values)
    return str(caught.value.reason)


def approved(api: Any, boss: Any, **values: Any) -> Any:
    api.request_approval(name=NAME, **values)
    return boss.approve_journey(name=NAME).approval


def changed(name: str = NAME, *steps: dict[str, Any]) -> dict[str, Any]:
    return {"name": name, **journey(*(steps or (SEND,)))}


def test_approve_journey(api: Any, boss: Any) -> None:
    assert reason(api.activate_journey, name=NAME) == "APPROVAL_REQUIRED"
    assert reason(boss.approve_journey, name=NAME) == "NOT_REQUESTED"
    with pytest.raises(errors.InvalidArgument, match="recurrence"):
        api.request_approval(name=NAME, recurrence="FREQ=DAILY")
    asked = api.request_approval(name=NAME, comment="for spring").approval
    assert (asked.journey, asked.campaign, asked.requester) == (NAME, "", "owner")
    assert {"trigger", "step:step1", "step:step2", "template:hello", "links", "budget"} <= set(asked.subject)
    assert reason(api.approve_journey, name=NAME) == "SAME_PERSON"
    assert reason(boss.approve_journey, name=NAME, fingerprint="0" * 64)
    assert not api.check_approval(name=NAME).launchable
    done = boss.approve_journey(name=NAME, comment="fine", fingerprint=asked.fingerprint).approval
    assert (done.state, done.decision_comment) == (pb.Approval.STATE_APPROVED, "fine")
    standing = api.check_approval(name=NAME)
    assert (standing.launchable, list(standing.changes)) == (True, [])
    assert list(standing.reasons) == ["all journeys on the topic 'marketing' need it"]
    assert api.activate_journey(name=NAME).journey.active
    [listed] = api.list_approvals(campaign=NAME).approvals
    assert listed == done


def test_approve_journey_is_not_for_who_made_its_newest_version(api: Any, boss: Any) -> None:
    boss.update_journey(journey=changed())
    api.request_approval(name=NAME)
    with pytest.raises(errors.PermissionDenied, match="made its newest version") as caught:
        boss.approve_journey(name=NAME)
    assert caught.value.reason == "SAME_PERSON"


def test_reject_journey(api: Any, boss: Any) -> None:
    asked = api.request_approval(name=NAME).approval
    done = boss.reject_journey(name=NAME, comment="too often").approval
    assert (done.name, done.state) == (asked.name, pb.Approval.STATE_REJECTED)
    with pytest.raises(errors.FailedPrecondition, match="the last request was rejected"):
        api.activate_journey(name=NAME)
    api.cancel_journey(name=NAME)
    assert reason(boss.reject_journey, name=NAME, comment="no") == "JOURNEY_STATE"


@pytest.mark.parametrize("what", ["step", "template", "links", "budget", "trigger"])
def test_a_change_after_the_approval_voids_it(desk: Desk, api: Any, boss: Any, what: str) -> None:
    approved(api, boss)
    match what:
        case "step":
            api.update_journey(journey=changed(NAME, WAIT, SEND, SEND))
        case "template":
            text = {"contents": [{**CONTENT, "text": "Other"}], "name": "templates/hello"}
            api.update_template(template=text, update_mask={"paths": ["contents"]})
        case "links":
            api.set_link_settings(settings={"origin": NAME, "utm_source": "mail"})
        case "budget":
            api.set_budget(origin=NAME, budget={"currency_code": "VND", "units": 1})
        case "trigger":
            api.update_journey(journey={"name": NAME, **journey(WAIT, SEND, event_type="form.sent")})
    with pytest.raises(errors.FailedPrecondition) as caught:
        api.activate_journey(name=NAME)
    assert caught.value.reason == "APPROVAL_VOID"
    told = {
        "step": "the step 'step2' is another one; the step 'step3' is new",
        "template": "templates/hello was revision 1 and is 2",
        "links": "how its links are counted is another one",
        "budget": "the budget was none and is 1 VND",
        "trigger": "what starts it is another one",
    }[what]
    assert caught.value.metadata["changes"] == told


def test_what_runs_as_it_was_approved_stays_so(desk: Desk, api: Any, boss: Any) -> None:
    approved(api, boss)
    api.activate_journey(name=NAME)
    place_order(desk, desk.directory.add())
    text = {"contents": [{**CONTENT, "text": "Other"}], "name": "templates/hello"}
    mask = {"paths": ["contents"]}
    budget = {"currency_code": "VND", "units": 1}
    assert reason(api.set_budget, origin=NAME, budget=budget) == "APPROVAL_VOID"
    for _ in range(2):
        assert reason(api.update_template, template=text, update_mask=mask) == "TEMPLATE_APPROVED"
        links = {"origin": NAME, "utm_source": "mail"}
        assert reason(api.set_link_settings, settings=links) == "LINKS_APPROVED"
        # Nobody else starts, but somebody is on it still.
        api.deactivate_journey(name=NAME)
    # It starts nobody before that is approved, too.
    assert api.set_budget(origin=NAME, budget=budget).budget.units == 1
    assert reason(api.activate_journey, name=NAME) == "APPROVAL_VOID"
    api.cancel_journey(name=NAME)
    assert api.update_template(template=text, update_mask=mask).template


def test_an_active_journey_is_changed_as_was_approved_beforehand(desk: Desk, api: Any, boss: Any) -> None:
    approved(api, boss)
    api.activate_journey(name=NAME)
    place_order(desk, desk.directory.add())
    assert reason(api.update_journey, journey=changed()) == "APPROVAL_VOID"
    asked = api.request_approval(name=NAME, journey=changed()).approval
    assert "step:step2" not in asked.subject
    boss.approve_journey(name=NAME)
    assert reason(api.update_journey, journey=changed(NAME, SEND, SEND)) == "APPROVAL_VOID"
    assert api.update_journey(journey=changed()).journey.version == 2
    assert api.check_approval(name=NAME).launchable
    assert api.migrate_journey(name=NAME, steps={"step1": "step1"}).migrated_count == 1


def test_nobody_is_migrated_to_a_version_that_nobody_approved(desk: Desk, api: Any, boss: Any) -> None:
    approved(api, boss)
    api.activate_journey(name=NAME)
    place_order(desk, desk.directory.add())
    api.deactivate_journey(name=NAME)
    api.update_journey(journey=changed())
    assert reason(api.migrate_journey, name=NAME) == "APPROVAL_VOID"
    [entry] = api.list_journey_entries(journey=NAME).entries
    assert entry.version == 1


def test_a_limit_on_the_audience_asks_for_approval_of_journeys(api: Any) -> None:
    api.set_approval_policy(policy={"topic": "marketing", "audience_above": 100})
    assert list(api.check_approval(name=NAME).reasons) == ["it may reach more than 100 people"]
    api.set_approval_policy(policy={"topic": "marketing"})
    assert api.activate_journey(name=NAME).journey.active
