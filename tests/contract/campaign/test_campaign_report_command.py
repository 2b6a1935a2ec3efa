"""`rapport campaigns report` against the served campaign service."""

from __future__ import annotations

import json
from datetime import timedelta
from uuid import UUID, uuid4

from services.campaign.store import circuits
from services.campaign.store.circuits import CircuitRow
from services.campaign.usecases import audience, experiments
from tests.support.campaign_desk import Desk
from tests.support.campaign_fakes import DENIED, Directory
from tests.support.campaign_orders import placed, returned, tell
from tests.support.campaign_tracking import SentMessage, Tracked
from tests.support.cli import Ran, run_cli
from tests.support.stack import NOW


def rapport(desk: Desk, *arguments: str) -> Ran:
    environment = {
        "RAPPORT_ADDRESS": f"127.0.0.1:{desk.served.ports.api}",
        "RAPPORT_EVENTS_ADDRESS": f"127.0.0.1:{desk.served.ports.events}",
        "RAPPORT_TOKEN": desk.served.token,
    }
    return run_cli("campaigns", *arguments, environment=environment)


def test_a_report_draws_the_funnel_and_says_what_the_experiment_found(
    desk: Desk, directory: Directory
) -> None:
    people = [directory.add() for _ in range(40)]
    directory.add(consent=DENIED)
    desk.template()
    name = desk.campaign()
    empty = rapport(desk, "report", "spring")
    assert (empty.code, empty.err) == (0, "")
    assert "0 in its audience" in empty.out
    desk.api.create_experiment(
        campaign=name,
        experiment={"variants": [{"id": "plain"}, {"id": "bold"}], "duration": timedelta(days=1)},
    )
    desk.launch(name)
    desk.send()
    order = placed(people[0], "1250.5", NOW + timedelta(hours=1))
    tell(desk.served.runtime, [order, returned(order, "0.5")])
    desk.api.set_budget(origin=name, budget={"currency_code": "VND", "units": 1000})
    desk.served.clock.instant = NOW + timedelta(days=1)
    experiments.advance(desk.served.runtime)
    ran = rapport(desk, "report", name)
    assert (ran.code, ran.err) == (0, "")
    for part in (
        "41 in its audience",
        "CONSENT_DENIED",
        "1,250.5",
        "25.0 %",
        "experiment, final",
        "bold and plain do not differ in conversion beyond chance",
        "plain wins as the control",
        "opens and clicks are not tracked",
        "delivered",
    ):
        assert part in ran.out
    answer = json.loads(rapport(desk, "report", name, "--json").out)
    assert answer["funnel"]["money"][0]["revenue"] == "1250"
    assert answer["funnel"]["suppressed_by_reason"] == {"CONSENT_DENIED": "1"}
    assert answer["experiment"]["final"] is True
    missing = rapport(desk, "report", "none")
    assert (missing.code, missing.out) == (1, "")
    assert "campaigns/none does not exist" in missing.err


def test_a_report_says_why_messages_wait(desk: Desk, directory: Directory) -> None:
    directory.add()
    desk.template()
    name = desk.campaign()
    desk.launch(name)
    assert "does not take messages" not in rapport(desk, "report", name).out
    # As a sender writes it down whose channel has failed.
    problem = "no session with localhost:587: Connection refused"
    told = CircuitRow(
        channel="email.smtp", domain="", state="open", failures=3, retry_seconds=4.0, problem=problem
    )
    with desk.served.runtime.db.transaction() as connection:
        circuits.save(connection, uuid4(), [told], NOW)
        circuits.save(connection, uuid4(), [told], NOW)
    ran = rapport(desk, "report", name)
    assert (ran.code, ran.err) == (0, "")
    assert ran.out.count(f"email.smtp does not take messages now: {problem}") == 1


def test_a_report_tells_people_from_machines_and_what_came_back(desk: Desk, directory: Directory) -> None:
    for _ in range(4):
        directory.add()
    desk.template()
    name = desk.campaign()
    desk.launch(name)
    desk.send()
    world = Tracked(desk.served.runtime, desk)  # type: ignore[arg-type]
    world.advance(hours=1)
    keys = [UUID(item.name.partition("/")[2]) for item in desk.api.list_messages(origin=name).messages]
    sent = [
        SentMessage(key, key, "p@mail.test", name, audience.reply_address(world.runtime, key)) for key in keys
    ]
    desk.api.report_delivery(raw=world.complaint(sent[0]))
    world.record(
        world.hit(sent[0]),
        world.hit(sent[1], "open", after=5),
        world.hit(sent[2], "open", agent="scanner", source=None),
        world.hit(sent[0], "unsubscribe"),
    )
    ran = rapport(desk, "report", name)
    rows = [line.split("│") for line in ran.out.splitlines() if "│" in line]
    counts = {row[1].strip(): row[2].strip() for row in rows}
    wanted = {"sent": "4", "delivered": "4", "complained": "1", "unsubscribed": "1", "opened": "2"}
    assert (wanted | {"clicked": "1"}).items() <= counts.items()
    assert "machines opened or clicked 1 time, which counts nowhere" in ran.out
    assert "not tracked" not in ran.out
    told = json.loads(rapport(desk, "report", name, "--json").out)["funnel"]
    assert (told["scanner_count"], told["delivered"]) == ("1", "4")


def test_hold_outs_and_the_ways_of_journeys_are_drawn_and_said_in_words(
    desk: Desk, directory: Directory
) -> None:
    directory.add()
    desk.template()
    none = rapport(desk, "hold-out")
    assert (none.code, none.out) == (1, "")
    assert "SetHoldOut sets a share" in none.err
    desk.api.set_hold_out(hold_out={"percent": 20})
    desk.served.clock.instant = NOW + timedelta(hours=1)
    desk.launch(desk.campaign())
    desk.served.clock.instant = NOW + timedelta(hours=2)
    parts = {"parts": [{"percent": 50}, {"percent": 50}], "planned_contacts": 3}
    send = {"template": "templates/hello", "channel": "email.smtp", "topic": "marketing"}
    journey = {
        "trigger": {"event_type": "order.placed"},
        "steps": [{"id": "ab", "split": parts}, {"send": send}],
        "hold_out_percent": 10,
    }
    desk.api.create_journey(journey_id="thanks", journey=journey)
    drawn = rapport(desk, "hold-out", "--from", NOW.isoformat())
    assert (drawn.code, drawn.err) == (0, "")
    for part in ("hold-out of 20 %", "written to", "held out", "too few for any difference"):
        assert part in drawn.out
    told = json.loads(rapport(desk, "hold-out", "--json").out)
    assert int(told["reached"]["assigned"]) + int(told["held_out"]["assigned"]) == 1
    report = rapport(desk, "report", "journeys/thanks")
    for part in (
        "the journey and its hold-out",
        "split ab",
        "part:1",
        "ab part:0 has 0 of 3 planned contacts",
    ):
        assert part in report.out
    answer = json.loads(rapport(desk, "report", "journeys/thanks", "--json").out)
    assert [split["step"] for split in answer["journey"]["splits"]] == ["ab"]
