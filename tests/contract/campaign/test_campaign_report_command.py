"""`rapport campaigns report` against the served campaign service."""

from __future__ import annotations

import json
from datetime import timedelta

from services.campaign.usecases import experiments
from tests.support.campaign_desk import Desk
from tests.support.campaign_fakes import DENIED, Directory
from tests.support.campaign_orders import placed, returned, tell
from tests.support.cli import Ran, run_cli
from tests.support.stack import NOW


def rapport(desk: Desk, *arguments: str) -> Ran:
    location = desk.served.rapport._location
    environment = {
        "RAPPORT_ADDRESS": f"127.0.0.1:{desk.served.ports.api}",
        "RAPPORT_EVENTS_ADDRESS": f"127.0.0.1:{desk.served.ports.events}",
        "RAPPORT_TOKEN": location.token,
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
    ):
        assert part in ran.out
    answer = json.loads(rapport(desk, "report", name, "--json").out)
    assert answer["funnel"]["money"][0]["revenue"] == "1250"
    assert answer["funnel"]["suppressed_by_reason"] == {"CONSENT_DENIED": "1"}
    assert answer["experiment"]["final"] is True
    missing = rapport(desk, "report", "none")
    assert (missing.code, missing.out) == (1, "")
    assert "campaigns/none does not exist" in missing.err
