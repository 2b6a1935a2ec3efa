"""Experiments and hold-outs over a real port: planned, assigned, watched, decided, and said in words."""

from __future__ import annotations

from collections import Counter
from datetime import timedelta
from typing import Any

import pytest
from rapport.campaign.v1 import campaign_pb2
from rapport.campaign.v1 import experiments_pb2 as pb
from rapport_client import errors

from services.campaign.usecases import experiments
from services.kit.wire import from_duration, from_timestamp
from tests.support.campaign_desk import Desk
from tests.support.campaign_fakes import DENIED, EVERYBODY, Directory
from tests.support.campaign_orders import placed, returned, tell
from tests.support.stack import NOW

State = pb.Experiment
AB = {"variants": [{"id": "a"}, {"id": "b", "template": "templates/other"}]}


@pytest.fixture
def name(desk: Desk) -> str:
    """A draft, and two templates."""
    desk.template()
    desk.template("other", subject="Other")
    return desk.campaign()


def fields(caught: pytest.ExceptionInfo[errors.RapportError]) -> set[str]:
    return {violation.field for violation in caught.value.violations}


def arms(found: Any) -> dict[str, tuple[int, int, int]]:
    return {arm.variant: (arm.assigned, arm.sent, arm.converted) for arm in found.arms}


def test_plan_experiment(api: Any) -> None:
    found = api.plan_experiment(baseline_rate=0.5, minimal_effect=0.25, power=0.9)
    assert (found.contacts_per_arm, found.contacts) == (77, 154)
    assert from_duration(found.duration) == timedelta(days=7)
    assert "77 contacts for each of 2 groups" in found.summary
    # With a hold-out, alpha is shared by all comparisons that will be made, as of a campaign's own experiment.
    given = {"baseline_rate": 0.5, "minimal_effect": 0.25, "power": 0.9}
    held_out = api.plan_experiment(**given, arm_count=3, hold_out=True)
    assert held_out.comparison_alpha == pytest.approx(0.05 / 4)
    shared = api.plan_experiment(**given, alpha=0.05 / 4)
    assert held_out.contacts_per_arm == shared.contacts_per_arm
    assert held_out.contacts_per_arm > api.plan_experiment(**given, arm_count=3).contacts_per_arm
    for arguments, field in (
        ({"baseline_rate": 1, "minimal_effect": 0.1}, "baseline_rate"),
        ({"baseline_rate": 0.5, "minimal_effect": 0.5}, "minimal_effect"),
        ({"baseline_rate": 0.5, "minimal_effect": 0.1, "power": 0.4}, "power"),
        ({"baseline_rate": 0.5, "minimal_effect": 0.1, "alpha": 0.0001}, "alpha"),
        ({"baseline_rate": 0.5, "minimal_effect": 0.1, "arm_count": 1}, "arm_count"),
    ):
        with pytest.raises(errors.InvalidArgument) as caught:
            api.plan_experiment(**arguments)
        assert fields(caught) == {field}


def test_create_experiment(api: Any, name: str) -> None:
    made = api.create_experiment(campaign=name, experiment=AB).experiment
    assert (made.campaign, made.state, made.alpha) == (name, State.STATE_DRAFT, 0.05)
    assert [(item.id, item.weight) for item in made.variants] == [("a", 1), ("b", 1)]
    assert made.metric == pb.EXPERIMENT_METRIC_CONVERSION
    assert (made.hold_out_percent, made.test_percent) == (0, 100)
    assert from_duration(made.duration) == from_duration(made.window) == timedelta(days=7)
    with pytest.raises(errors.AlreadyExists):
        api.create_experiment(campaign=name, experiment=AB)
    with pytest.raises(errors.NotFound):
        api.create_experiment(campaign="campaigns/none", experiment=AB)


@pytest.mark.parametrize(
    ("experiment", "field"),
    [
        ({"variants": [{"id": "a"}]}, "experiment.variants"),
        ({"variants": [{"id": "A"}, {"id": "b"}]}, "experiment.variants[0].id"),
        ({"variants": [{"id": "a"}, {"id": "a"}]}, "experiment.variants[1].id"),
        ({"variants": [{"id": "a"}, {"id": "b", "channel": "pigeon"}]}, "experiment.variants[1].channel"),
        ({**AB, "duration": timedelta(minutes=1)}, "experiment.duration"),
        ({**AB, "duration": timedelta(days=1), "window": timedelta(days=2)}, "experiment.window"),
        ({**AB, "alpha": 0.0001}, "experiment.alpha"),
        ({**AB, "hold_out_percent": 51}, "experiment.hold_out_percent"),
    ],
)
def test_create_experiment_refuses_what_cannot_be(
    api: Any, name: str, experiment: dict[str, Any], field: str
) -> None:
    with pytest.raises(errors.InvalidArgument) as caught:
        api.create_experiment(campaign=name, experiment=experiment)
    assert fields(caught) == {field}


def test_get_experiment(api: Any, name: str) -> None:
    with pytest.raises(errors.NotFound) as caught:
        api.get_experiment(campaign=name)
    assert caught.value.reason == "NO_EXPERIMENT"
    made = api.create_experiment(campaign=name, experiment={**AB, "test_percent": 20}).experiment
    assert api.get_experiment(campaign=name).experiment == made


def test_delete_experiment(desk: Desk, api: Any, name: str) -> None:
    api.create_experiment(campaign=name, experiment=AB)
    api.delete_experiment(campaign=name)
    api.delete_experiment(campaign=name)
    api.create_experiment(campaign=name, experiment=AB)
    desk.launch(name)
    with pytest.raises(errors.FailedPrecondition) as caught:
        api.delete_experiment(campaign=name)
    assert caught.value.reason == "CAMPAIGN_STATE"


def test_a_winner_goes_to_those_who_waited(desk: Desk, api: Any, directory: Directory, name: str) -> None:
    """Each member is accounted for; at the planned end the better variant is found and sent to the rest."""
    for _ in range(400):
        directory.add()
    given = {**AB, "hold_out_percent": 10, "test_percent": 60, "duration": timedelta(days=3)}
    api.create_experiment(campaign=name, experiment=given)
    operation = desk.launch(name)
    sent = desk.send()
    counts = api.get_campaign(name=name).campaign.counts
    assert counts.audience == 400
    assert dict(counts.suppressed_by_reason) == {"HELD_OUT": counts.suppressed}
    assert (counts.sent, counts.planned) == (sent, 400 - sent - counts.suppressed)
    assert 15 < counts.suppressed < 70
    subjects = {item.contact: item.subject for item in all_messages(api, name)}
    runtime, clock = desk.served.runtime, desk.served.clock
    # Everybody with the other subject buys, and the first few with the plain one.
    plain = [contact for contact, subject in subjects.items() if subject == "Hello"]
    other = [contact for contact, subject in subjects.items() if subject == "Other"]
    assert len(plain) + len(other) == sent
    tell(runtime, [placed(contact, 100, NOW + timedelta(hours=1)) for contact in [*other[:50], *plain[:9]]])
    clock.instant = NOW + timedelta(days=2)
    assert experiments.advance(runtime) == 0
    early = api.get_experiment_results(campaign=name)
    assert not early.final
    assert not any(arm.HasField("conversion_uplift") for arm in early.arms)
    assert early.summary[0].startswith("Not final")
    clock.instant = NOW + timedelta(days=3)
    assert experiments.advance(runtime) == counts.planned
    assert experiments.advance(runtime) == 0
    assert desk.send() == counts.planned
    desk.finish(operation)
    decided = api.get_experiment(campaign=name).experiment
    assert (decided.state, decided.winner) == (State.STATE_DECIDED, "b")
    assert from_timestamp(decided.decide_time) == clock.instant
    assert decided.decision.startswith("b wins: its conversion is")
    results = api.get_experiment_results(campaign=name)
    assert results.final
    assert arms(results) == {
        "a": (len(plain), len(plain), 9),
        "b": (len(other), len(other), 50),
        "": (counts.suppressed, 0, 0),
    }
    uplift = results.arms[1].conversion_uplift
    assert (uplift.against, uplift.significant, uplift.alpha) == ("a", True, 0.0125)
    assert 0 < uplift.interval.low < uplift.difference < uplift.interval.high
    assert results.arms[1].revenue[0].amount == "5000"
    # What the campaign brings beyond what those held out bought anyway: each variant, and all together.
    assert [arm.held_out_uplift.HasField("interval") for arm in results.arms] == [True, True, False]
    assert results.arms[1].held_out_uplift.significant
    assert results.arms[1].revenue[0].held_out_uplift.difference == results.arms[1].revenue[0].per_contact
    whole = results.all_variants
    assert (whole.variant, whole.assigned, whole.converted) == ("*", len(plain) + len(other), 59)
    assert (whole.conversion_uplift.against, whole.conversion_uplift.alpha) == ("", 0.0125)
    assert whole.revenue[0].amount == "5900"
    assert any(line.startswith("all variants together convert") for line in results.summary)
    assert any(line.startswith("No size was planned beforehand") for line in results.summary)
    assert any(line.startswith("b converts") and "more than a (98.75 %" in line for line in results.summary)
    after = Counter(item.subject for item in all_messages(api, name) if item.send_time.seconds)
    assert after == {"Hello": len(plain), "Other": len(other) + counts.planned}


def all_messages(api: Any, name: str) -> list[campaign_pb2.Message]:
    return list(api.list_messages.iterate(origin=name, page_size=1000))


def test_get_experiment_results(desk: Desk, api: Any, directory: Directory, name: str) -> None:
    """Everyone assigned counts, orders within the window only, returns are deducted, currencies stay apart."""
    people = [directory.add() for _ in range(40)]
    people += [directory.add(consent=DENIED) for _ in range(10)]
    api.create_experiment(
        campaign=name,
        experiment={
            **AB,
            "duration": timedelta(days=3),
            "window": timedelta(days=1),
            "metric": "EXPERIMENT_METRIC_REVENUE",
        },
    )
    desk.launch(name)
    assert desk.send() == 50
    first, second, third = people[:3]
    bought = placed(first, "10.5", NOW + timedelta(hours=1))
    events = [
        bought,
        returned(bought, "0.5", NOW + timedelta(days=9)),
        placed(first, 7, NOW + timedelta(hours=2), currency="EUR"),
        placed(second, 1000, NOW - timedelta(seconds=1)),
        placed(third, 1000, NOW + timedelta(days=1)),
    ]
    tell(desk.served.runtime, events)
    tell(desk.served.runtime, events)
    desk.served.clock.instant = NOW + timedelta(days=4)
    experiments.advance(desk.served.runtime)
    found = api.get_experiment_results(campaign=name)
    assert from_timestamp(found.as_of_time) == NOW + timedelta(days=3)
    assert sum(arm.assigned for arm in found.arms) == 50
    assert sum(arm.sent for arm in found.arms) == 40
    assert sum(arm.converted for arm in found.arms) == 1
    revenue = {
        item.currency_code: item.amount for arm in found.arms for item in arm.revenue if item.amount != "0"
    }
    assert revenue == {"VND": "10", "EUR": "7"}
    assert found.experiment.winner == "a"
    assert "wins as the control" in found.experiment.decision
    with pytest.raises(errors.NotFound):
        api.get_experiment_results(campaign="campaigns/none")


def test_declare_winner(desk: Desk, api: Any, directory: Directory, name: str) -> None:
    for _ in range(50):
        directory.add()
    api.create_experiment(campaign=name, experiment={**AB, "test_percent": 50, "by_hand": True})
    with pytest.raises(errors.FailedPrecondition) as caught:
        api.declare_winner(campaign=name, variant="b")
    assert caught.value.reason == "EXPERIMENT_STATE"
    operation = desk.launch(name)
    sent = desk.send()
    desk.served.clock.instant = NOW + timedelta(days=30)
    assert experiments.advance(desk.served.runtime) == 0
    with pytest.raises(errors.NotFound):
        api.declare_winner(campaign=name, variant="c")
    decided = api.declare_winner(campaign=name, variant="b").experiment
    assert (decided.winner, decided.decision) == ("b", "b was declared the winner by hand")
    assert api.declare_winner(campaign=name, variant="b").experiment == decided
    with pytest.raises(errors.FailedPrecondition):
        api.declare_winner(campaign=name, variant="a")
    assert experiments.advance(desk.served.runtime) == 50 - sent
    assert desk.send() == 50 - sent
    desk.finish(operation)


def test_a_cancelled_campaign_sends_no_winner(desk: Desk, api: Any, directory: Directory, name: str) -> None:
    for _ in range(20):
        directory.add()
    api.create_experiment(campaign=name, experiment={**AB, "test_percent": 50})
    desk.launch(name)
    desk.send()
    api.cancel_campaign(name=name)
    desk.served.clock.instant = NOW + timedelta(days=8)
    assert experiments.advance(desk.served.runtime) == 0
    assert api.get_experiment(campaign=name).experiment.state == State.STATE_DECIDED
    counts = api.get_campaign(name=name).campaign.counts
    assert counts.audience == counts.sent + counts.cancelled


def test_a_variant_may_be_delayed(desk: Desk, api: Any, directory: Directory, name: str) -> None:
    for _ in range(30):
        directory.add()
    variants = [{"id": "a"}, {"id": "b", "delay": timedelta(hours=5), "weight": 3}]
    api.create_experiment(campaign=name, experiment={"variants": variants})
    desk.launch(name)
    first = desk.send()
    desk.served.clock.instant = NOW + timedelta(hours=5)
    assert (first > 0, desk.send()) == (True, 30 - first)
    assert first < 15


def test_set_hold_out(desk: Desk, api: Any, directory: Directory, name: str) -> None:
    """The same contacts get no message of any campaign, but transactional ones; others do after the period."""
    people = [directory.add() for _ in range(80)]
    for contact in people:
        directory.consents[contact, "email", "transactional"] = directory.consents[
            contact, "email", "marketing"
        ]
    stored = api.set_hold_out(hold_out={"percent": 20, "period_days": 30}).hold_out
    assert (stored.percent, from_timestamp(stored.start_time)) == (20, NOW)

    def held(key: str, **values: Any) -> set[str]:
        origin = desk.campaign(key, **values)
        desk.launch(origin)
        desk.send()
        found = api.list_messages.iterate(origin=origin, page_size=1000)
        return {item.contact for item in found if item.reason == "HELD_OUT_GLOBAL"}

    first = held("one")
    assert 4 < len(first) < 35
    assert held("two") == first
    assert held("three", topic="transactional") == set()
    api.set_hold_out(hold_out={"percent": 10, "period_days": 30})
    assert held("four") < first
    api.set_hold_out(hold_out={"percent": 20, "period_days": 30})
    desk.served.clock.instant = NOW + timedelta(days=30)
    later = held("five")
    assert later
    assert later != first
    with pytest.raises(errors.InvalidArgument) as caught:
        api.set_hold_out(hold_out={"percent": 1, "period_days": 3})
    assert fields(caught) == {"hold_out.period_days"}


def test_get_hold_out(api: Any) -> None:
    assert api.get_hold_out().hold_out == pb.HoldOut()
    stored = api.set_hold_out(hold_out={"percent": 1}).hold_out
    assert api.get_hold_out().hold_out == stored


def test_a_launch_checks_what_all_variants_send(
    desk: Desk, api: Any, directory: Directory, name: str
) -> None:
    directory.add()
    desk.template("broken", text="{{ 1 / 0 }}")
    experiment = {"variants": [{"id": "a"}, {"id": "b", "template": "templates/broken"}]}
    api.create_experiment(campaign=name, experiment=experiment)
    with pytest.raises(errors.InvalidArgument, match="templates/broken"):
        api.launch_campaign(name=name, validate_only=True)
    assert api.get_campaign(name=name).campaign.segment == EVERYBODY
