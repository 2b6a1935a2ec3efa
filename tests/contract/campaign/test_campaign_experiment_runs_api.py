"""Experiments of campaigns that go out again and again, or to whom enters later, over a real port."""

from __future__ import annotations

from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import pytest
from rapport.campaign.v1 import campaign_pb2
from rapport.campaign.v1 import experiments_pb2 as pb
from rapport_client import errors

from services.campaign.domain.triggers import Trigger
from services.campaign.usecases import evergreen, experiments, schedules
from services.kit.wire import from_timestamp
from tests.support.campaign_desk import Desk, draft
from tests.support.campaign_fakes import EVERYBODY, Directory
from tests.support.campaign_orders import placed, tell
from tests.support.stack import NOW

State = pb.Experiment
DAY, HOUR = timedelta(days=1), timedelta(hours=1)
AB = {"variants": [{"id": "a"}, {"id": "b", "template": "templates/other"}]}
SAMPLE = {"baseline_rate": 0.3, "minimal_effect": 0.6, "power": 0.8}


@pytest.fixture(autouse=True)
def templates(desk: Desk) -> None:
    """Both ways to say it."""
    desk.template()
    desk.template("other", subject="Other")


@pytest.fixture
def always(desk: Desk) -> str:
    """An evergreen draft."""
    return desk.campaign("always", evergreen=True)


def fields(caught: pytest.ExceptionInfo[errors.RapportError]) -> list[str]:
    return [violation.field for violation in caught.value.violations]


def local(moment: datetime) -> str:
    return moment.replace(tzinfo=None, microsecond=0).isoformat()


def subjects(api: Any, origin: str) -> dict[str, str]:
    found = api.list_messages.iterate(origin=origin, page_size=1000)
    return {item.contact: item.subject for item in found if item.state == campaign_pb2.Message.STATE_SENT}


def come(desk: Desk, count: int) -> list[str]:
    """Let contacts enter the segment, as the worker hears of it."""
    runtime, now = desk.served.runtime, desk.served.clock.now()
    people = [desk.directory.add() for _ in range(count)]
    triggers = [
        Trigger(
            contact_id=UUID(person.partition("/")[2]),
            types=("segment.entered",),
            segment=EVERYBODY,
            record_time=now,
            event_id=UUID(person.partition("/")[2]),
            event={},
        )
        for person in people
    ]
    with runtime.db.transaction() as connection:
        assert evergreen.add_members(runtime, connection, triggers) == count
    with runtime.db.transaction() as connection:
        assert evergreen.add_members(runtime, connection, triggers) == 0
    return people


def test_each_run_of_a_recurring_campaign_is_an_experiment_of_its_own(
    desk: Desk, api: Any, directory: Directory
) -> None:
    name = desk.campaign()
    for _ in range(200):
        directory.add()
    given = {**AB, "test_percent": 60, "duration": 3 * DAY, "sample": SAMPLE}
    api.create_experiment(campaign=name, experiment=given)
    start = (NOW + DAY).replace(microsecond=0)
    api.schedule_campaign(name=name, schedule={"start_time": local(start), "recurrence": "FREQ=WEEKLY"})
    runtime, clock = desk.served.runtime, desk.served.clock
    groups: list[dict[str, str]] = []
    for number, best in ((1, "Other"), (2, "Hello")):
        clock.instant = start + (number - 1) * 7 * DAY
        assert schedules.launch_due(runtime) == 1
        run = f"{name}.{number}"
        assert api.get_experiment(campaign=run).experiment.state == State.STATE_DRAFT
        [operation] = [item for item in api.list_operations().operations if not item.done]
        desk.plan(operation)
        desk.send()
        groups.append(subjects(api, run))
        buyers = [person for person, subject in groups[-1].items() if subject == best][:40]
        tell(runtime, [placed(person, 100, clock.instant + HOUR) for person in buyers])
        clock.instant += 3 * DAY
        experiments.advance(runtime)
        desk.send()
        desk.finish(operation)
        found = api.get_experiment_results(campaign=run)
        assert (found.final, found.experiment.winner) == (True, "b" if best == "Other" else "a")
        assert found.experiment.sample.contacts_per_arm > 0
        assert len(subjects(api, run)) == 200
        assert sum(arm.assigned for arm in found.arms) == len(groups[-1])
    # Who is in which group of the second has nothing to do with the first.
    first, second = groups
    both = Counter((first[person], second[person]) for person in first.keys() & second.keys())
    assert len(both) == 4
    series = api.get_experiment(campaign=name).experiment
    assert (series.state, series.winner) == (State.STATE_DRAFT, "")


def test_a_recurring_campaign_leaves_its_experiment_the_time_it_takes(desk: Desk, api: Any) -> None:
    name = desk.campaign()
    start = local(NOW + DAY)

    def refused(schedule: dict[str, Any]) -> list[str]:
        with pytest.raises(errors.InvalidArgument) as caught:
            api.schedule_campaign(name=name, schedule={"start_time": start, **schedule})
        assert caught.value.reason == "INVALID_SCHEDULE"
        return fields(caught)

    api.create_experiment(campaign=name, experiment={**AB, "test_percent": 50, "duration": 7 * DAY})
    assert refused({"recipient_time": True}) == ["schedule.recipient_time"]
    assert refused({"recurrence": "FREQ=WEEKLY"}) == ["schedule.recurrence"]
    assert refused({"recurrence": "FREQ=MONTHLY;BYMONTHDAY=1,7"}) == ["schedule.recurrence"]
    assert api.get_campaign(name=name).campaign.state == campaign_pb2.Campaign.STATE_DRAFT
    api.schedule_campaign(
        name=name, schedule={"start_time": start, "recurrence": "FREQ=MONTHLY;BYMONTHDAY=1,15"}
    )
    api.unschedule_campaign(name=name)
    # Nobody waits for a winner: a run is done when its last variant is sent.
    api.delete_experiment(campaign=name)
    variants = [{"id": "a"}, {"id": "b", "delay": 2 * DAY}]
    api.create_experiment(
        campaign=name, experiment={"variants": variants, "duration": 9 * DAY, "window": DAY}
    )
    assert refused({"recurrence": "FREQ=DAILY"}) == ["schedule.recurrence"]
    api.schedule_campaign(name=name, schedule={"start_time": start, "recurrence": "FREQ=WEEKLY"})


def test_the_sample_of_an_evergreen_campaign_are_the_first_who_come(
    desk: Desk, api: Any, always: str
) -> None:
    """Those after them wait for the winner, and those after the decision get it at once."""
    runtime, clock = desk.served.runtime, desk.served.clock
    made = api.create_experiment(
        campaign=always, experiment={**AB, "sample": SAMPLE, "hold_out_percent": 30, "duration": 3 * DAY}
    ).experiment
    planned = made.sample.contacts_per_arm
    for _ in range(planned):
        desk.directory.add()
    desk.launch(always)
    desk.send()
    found = api.get_experiment_results(campaign=always)
    assert (found.experiment.state, found.experiment.HasField("end_time")) == (State.STATE_RUNNING, False)
    assert "3 days, 0:00:00 after the sample is complete" in found.summary[0]
    assert "so far" in found.summary[-1]
    clock.instant = NOW + 90 * DAY
    assert experiments.advance(runtime) == 0
    while not api.get_experiment(campaign=always).experiment.HasField("end_time"):
        clock.instant += HOUR
        come(desk, 3)
    complete = clock.instant
    assert from_timestamp(api.get_experiment(campaign=always).experiment.end_time) == complete + 3 * DAY
    desk.send()
    sizes = {arm.variant: arm.assigned for arm in api.get_experiment_results(campaign=always).arms}
    assert sizes.keys() == {"a", "b", ""}
    assert min(sizes.values()) == planned
    tested = subjects(api, always)
    assert Counter(tested.values()) == {"Hello": sizes["a"], "Other": sizes["b"]}
    waiting = come(desk, 5)
    assert desk.send() == 0
    tell(runtime, [placed(key, 9, complete + HOUR) for key, text in tested.items() if text == "Other"])
    clock.instant = complete + 3 * DAY
    before = api.get_campaign(name=always).campaign.counts.planned
    assert before >= len(waiting)
    assert experiments.advance(runtime) == before
    assert desk.send() == before
    late = come(desk, 5)
    assert desk.send() == 5
    sent = subjects(api, always)
    assert {sent[person] for person in [*waiting, *late]} == {"Other"}
    results = api.get_experiment_results(campaign=always)
    assert (results.final, results.experiment.winner) == (True, "b")
    assert results.experiment.state == State.STATE_DECIDED
    assert {arm.variant: arm.assigned for arm in results.arms} == sizes
    assert results.arms[1].conversion_uplift.significant
    assert any("all groups have as many" in line for line in results.summary)


def test_a_sample_is_exact_whoever_adds_to_it_at_the_same_time(desk: Desk, api: Any, always: str) -> None:
    made = api.create_experiment(campaign=always, experiment={**AB, "sample": SAMPLE}).experiment
    desk.launch(always)
    with ThreadPoolExecutor(4) as pool:
        for done in [pool.submit(come, desk, 3) for _ in range(24)]:
            done.result()
    found = api.get_experiment_results(campaign=always)
    assert found.experiment.HasField("end_time")
    # The group that was full last has not one more than was planned.
    sizes = [arm.assigned for arm in found.arms]
    assert min(sizes) == made.sample.contacts_per_arm
    assert sum(sizes) < api.get_campaign(name=always).campaign.counts.audience == 72


@pytest.mark.parametrize("how", ["cancelled", "declared"])
def test_a_sample_that_nobody_completes_ends(desk: Desk, api: Any, always: str, how: str) -> None:
    runtime, clock = desk.served.runtime, desk.served.clock
    api.create_experiment(campaign=always, experiment={**AB, "sample": SAMPLE, "duration": DAY})
    desk.directory.add()
    desk.launch(always)
    assert desk.send() == 1
    if how == "cancelled":
        api.cancel_campaign(name=always)
    else:
        decided = api.declare_winner(campaign=always, variant="b").experiment
        assert "before the planned end" in decided.decision
        [person] = come(desk, 1)
        assert desk.send() == 1
        assert subjects(api, always)[person] == "Other"
    experiments.advance(runtime)
    assert from_timestamp(api.get_experiment(campaign=always).experiment.end_time) == NOW + DAY
    clock.instant = NOW + DAY
    experiments.advance(runtime)
    found = api.get_experiment_results(campaign=always)
    assert (found.final, found.experiment.state) == (True, State.STATE_DECIDED)
    assert sum(arm.assigned for arm in found.arms) == 1
    assert any("too few" in line for line in found.summary)


def test_an_evergreen_campaign_has_only_an_experiment_whose_size_was_planned(
    desk: Desk, api: Any, always: str
) -> None:
    for experiment, field in ((AB, "sample"), ({**AB, "sample": SAMPLE, "test_percent": 50}, "test_percent")):
        with pytest.raises(errors.InvalidArgument) as caught:
            api.create_experiment(campaign=always, experiment=experiment)
        assert (caught.value.reason, fields(caught)) == ("INVALID_EXPERIMENT", [f"experiment.{field}"])
    # It may become evergreen later.
    name = desk.campaign()
    api.create_experiment(campaign=name, experiment=AB)
    changed = {"name": name, **draft(evergreen=True)}
    api.apply_definitions(changes=[{"definition": {"campaign": changed}}])
    for validate_only in (True, False):
        with pytest.raises(errors.FailedPrecondition) as refused:
            api.launch_campaign(name=name, validate_only=validate_only)
        assert refused.value.reason == "EVERGREEN_EXPERIMENT"
