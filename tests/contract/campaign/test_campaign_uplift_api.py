"""What campaigns and journeys bring beyond what people would have done anyway, over a real port."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import Any

import pytest
from rapport.campaign.v1 import experiments_pb2 as pb
from rapport_client import errors

from services.campaign.usecases import experiments, journeys
from services.kit.bus.batch import EventBatch
from services.kit.wire import from_timestamp, to_timestamp
from tests.contract.campaign.test_campaign_journeys_api import SEND, create, order_placed
from tests.support.campaign_desk import Desk
from tests.support.campaign_orders import placed, returned, tell
from tests.support.stack import NOW

DAY, HOUR = timedelta(days=1), timedelta(hours=1)
NAME = "journeys/thanks"
SPLIT = {
    "id": "split",
    "split": {"parts": [{"percent": 50, "next": "plain"}, {"percent": 50, "next": "gift"}]},
}
STEPS = (SPLIT, {"id": "plain", **SEND, "next": "end"}, {"id": "gift", **SEND})


@pytest.fixture(autouse=True)
def template(desk: Desk) -> str:
    """The template that all name."""
    return desk.template()


def start(desk: Desk, people: Sequence[str], at: timedelta = timedelta(0)) -> None:
    """Let contacts order, which starts the journey, as the worker does."""
    events = [order_placed(contact) for contact in people]
    for event in events:
        event.record_time.CopyFrom(to_timestamp(NOW + at))
    desk.served.clock.instant = max(desk.served.clock.now(), NOW + at)
    journeys.start_journeys(desk.served.runtime, EventBatch("campaign.test", events))
    journeys.advance_journeys(desk.served.runtime)


def entries(api: Any) -> dict[str, Any]:
    found = api.list_journey_entries.iterate(journey=NAME, page_size=1000)
    return {item.contact: api.get_journey_entry(name=item.name).entry for item in found}


def test_get_hold_out_results(desk: Desk, api: Any) -> None:
    """All for whom something was planned count, from the first message on; orders before it, and after the end, not."""
    people = [desk.directory.add() for _ in range(120)]
    with pytest.raises(errors.FailedPrecondition) as caught:
        api.get_hold_out_results()
    assert caught.value.reason == "NO_HOLD_OUT"
    api.set_hold_out(hold_out={"percent": 20})
    desk.served.clock.instant = NOW + HOUR
    for key in ("one", "two"):
        name = desk.campaign(key)
        desk.launch(name)
        desk.send()
    sent = list(api.list_messages.iterate(origin=name, page_size=1000))
    held = {item.contact for item in sent if item.reason == "HELD_OUT_GLOBAL"}
    others = [contact for contact in people if contact not in held]
    order = placed(others[0], 100, NOW + 2 * HOUR)
    orders = [order, returned(order, 40, NOW + 3 * HOUR)]
    orders += [placed(contact, 100, NOW + 2 * HOUR) for contact in others[1:60]]
    orders += [placed(contact, 100, NOW) for contact in held]
    orders += [placed(next(iter(held)), 10, NOW + 2 * HOUR), placed(others[70], 9, NOW + 2 * DAY)]
    tell(desk.served.runtime, orders)
    desk.served.clock.instant = NOW + 3 * DAY
    found = api.get_hold_out_results(start_time=NOW - DAY, end_time=NOW + 2 * DAY)
    # Nobody was held out before the share was set.
    assert (from_timestamp(found.start_time), from_timestamp(found.end_time)) == (NOW, NOW + 2 * DAY)
    assert (found.reached.variant, found.reached.assigned, found.reached.converted) == ("*", len(others), 60)
    assert (found.held_out.assigned, found.held_out.converted, found.held_out.sent) == (len(held), 1, 0)
    assert found.reached.sent == 2 * len(others)
    assert (found.reached.revenue[0].amount, found.held_out.revenue[0].amount) == ("5960", "10")
    uplift = found.reached.conversion_uplift
    assert (uplift.against, uplift.alpha, uplift.significant) == ("", 0.05, True)
    assert uplift.interval.low < uplift.difference < uplift.interval.high
    assert found.reached.revenue[0].held_out_uplift.difference > 0
    assert found.summary[0].startswith("those who may be written to convert")
    assert "found with a power of 80%" in found.summary[2]
    assert found.summary[3].startswith("Whoever looks again and again")
    with pytest.raises(errors.FailedPrecondition):
        api.get_hold_out_results(start_time=NOW - 2 * DAY, end_time=NOW - DAY)
    with pytest.raises(errors.InvalidArgument):
        api.get_hold_out_results(start_time=NOW + 2 * DAY, end_time=NOW + DAY)


def test_get_journey_results(desk: Desk, api: Any) -> None:
    made = create(api, "thanks", *STEPS)
    made.hold_out_percent = 30
    made.goals.add(event_type="payment.received")
    api.update_journey(journey=made)
    api.activate_journey(name=NAME)
    people = [desk.directory.add() for _ in range(60)]
    start(desk, people[:50])
    found = entries(api)
    held = {contact for contact, entry in found.items() if entry.outcome == entry.OUTCOME_HELD_OUT}
    ways = {contact: entry.path[0].edge for contact, entry in found.items() if contact not in held}
    assert 4 < len(held) < 28
    journey = api.get_journey(name=NAME).journey
    assert (journey.held_out_count, journey.finished_count) == (len(held), 50 - len(held))
    assert {item.contact for item in api.list_messages.iterate(origin=NAME, page_size=1000)} == set(ways)
    plain = [contact for contact, way in ways.items() if way == "part:0"]
    gift = [contact for contact, way in ways.items() if way == "part:1"]
    bought = placed(gift[0], 100, NOW + HOUR)
    tell(
        desk.served.runtime,
        [bought, returned(bought, 25), placed(plain[0], 7, NOW + 3 * DAY), placed(min(held), 5, NOW + HOUR)],
    )
    start(desk, people[50:], 2 * DAY)
    results = api.get_journey_results(name=NAME, window=2 * DAY)
    hold_out, [split] = results.hold_out, results.splits
    groups = {item.result.variant: (item.result.assigned, item.result.converted) for item in hold_out.arms}
    assert groups == {"*": (len(ways), 1), "": (len(held), 1)}
    assert hold_out.pending_count == 10
    assert hold_out.arms[0].result.conversion_uplift.against == ""
    assert hold_out.arms[0].result.revenue[0].amount == "75"
    assert [item.result.variant for item in split.arms] == ["part:0", "part:1"]
    assert [item.result.assigned for item in split.arms] == [len(plain), len(gift)]
    assert [item.result.converted for item in split.arms] == [0, 1]
    assert split.arms[1].result.conversion_uplift.against == "part:0"
    assert split.arms[1].goal_uplift.against == "part:0"
    assert not split.arms[0].HasField("goal_uplift")
    assert (split.compared, split.planned_contacts) == (True, 0)
    assert any(
        line.startswith("those on the journey and those held out do not differ") for line in results.summary
    )
    assert any("no size was planned" in line for line in results.summary)
    # The same contacts are held out again, and more when the share grows; they are not on it and get nothing.
    journey.hold_out_percent = 50
    api.update_journey(journey=journey)
    assert api.get_journey_results(name=NAME).hold_out.arms[0].result.assigned == 0
    with pytest.raises(errors.NotFound):
        api.get_journey_results(name="journeys/none")
    with pytest.raises(errors.InvalidArgument):
        api.get_journey_results(name=NAME, window=timedelta(minutes=1))


def test_ways_of_a_split_are_compared_once_each_has_as_many_as_planned(desk: Desk, api: Any) -> None:
    planned = {**SPLIT, "split": {**SPLIT["split"], "planned_contacts": 5}}
    made = create(api, "thanks", planned, *STEPS[1:])
    assert made.steps[0].split.planned_contacts == 5
    api.activate_journey(name=NAME)
    people = [desk.directory.add() for _ in range(40)]
    start(desk, people[:4])
    desk.served.clock.instant = NOW + 8 * DAY
    early = api.get_journey_results(name=NAME)
    assert not early.splits[0].compared
    assert not early.splits[0].arms[1].result.HasField("conversion_uplift")
    assert "of 5 planned contacts" in early.summary[-1]
    start(desk, people[4:], 8 * DAY)
    desk.served.clock.instant = NOW + 16 * DAY
    [split] = api.get_journey_results(name=NAME).splits
    # The first ones alone, so that looking early, or late, changes nothing.
    assert [item.result.assigned for item in split.arms] == [5, 5]
    assert split.compared
    assert split.arms[1].result.HasField("conversion_uplift")


def test_an_experiment_tells_whether_it_is_as_large_as_planned(desk: Desk, api: Any) -> None:
    for _ in range(30):
        desk.directory.add()
    name = desk.campaign()
    experiment = {
        "variants": [{"id": "a"}, {"id": "b"}],
        "duration": DAY,
        "sample": {"baseline_rate": 0.5, "minimal_effect": 0.25, "power": 0.9},
    }
    made = api.create_experiment(campaign=name, experiment=experiment).experiment
    assert made.sample == pb.SamplePlan(
        baseline_rate=0.5, minimal_effect=0.25, power=0.9, contacts_per_arm=77
    )
    desk.launch(name)
    early = api.get_experiment_results(campaign=name)
    assert (early.final, early.too_small, len(early.summary)) == (False, True, 2)
    desk.served.clock.instant = NOW + DAY
    experiments.advance(desk.served.runtime)
    found = api.get_experiment_results(campaign=name)
    assert (found.final, found.too_small) == (True, True)
    assert any(
        "Planned were 77 contacts in each group" in line and "too few" in line for line in found.summary
    )
    for field, value in (("baseline_rate", 1.0), ("minimal_effect", 0.5), ("power", 0.4)):
        sample = {**experiment["sample"], field: value}  # type: ignore[dict-item]
        with pytest.raises(errors.InvalidArgument) as caught:
            api.create_experiment(
                campaign=desk.campaign(f"c-{field[:4]}"), experiment={**experiment, "sample": sample}
            )
        assert {item.field for item in caught.value.violations} == {f"experiment.sample.{field}"}
