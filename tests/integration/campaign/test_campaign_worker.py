"""The real worker and sender processes, with the API in this one: a launch and a journey from end to end."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from rapport.campaign.v1 import campaign_pb2 as pb
from rapport.campaign.v1 import events_pb2
from rapport.sales.v1 import events_pb2 as sales_events
from rapport_client import Rapport
from rapport_testing.smtp import SmtpServer

from services.kit.auth import create_tokens
from services.kit.clock import FileClock, write_clock
from services.kit.config import Settings
from services.kit.names import new_id, parse_name
from services.kit.outbox import NewEvent, append
from services.kit.process import ApiProcess
from services.kit.runtime import make_runtime
from tests.support.campaign import NOW, ROOT, World, smtp_environment
from tests.support.postgres import DatabaseFactory
from tests.support.rabbit import clean_environment
from tests.support.toy import Source, free_base_port
from tests.support.waiting import until

SECRET = "a secret of the tests only"
CONTENT = {"subject": "Hi {{ contact.given_name }}", "text": "{{ coupon | default('') }}"}


@pytest.fixture
def stack(
    make_database: DatabaseFactory, database_url: str, neighbours_at: str, smtp: SmtpServer, tmp_path: Path
) -> Iterator[tuple[Any, Source]]:
    """A client of campaign, and sales as a publisher; worker and sender run."""
    write_clock(tmp_path / "clock", NOW)
    tokens = create_tokens(tmp_path / "tokens.json")
    base = free_base_port()
    settings = Settings(
        data_dir=tmp_path,
        base_port=base,
        campaign_database_url=database_url,
        clock=f"file:{tmp_path / 'clock'}",
        secret_key=SECRET,
        token=tokens["campaign"],
        address=neighbours_at,
        plugins_allow=("email", "recipients"),
    )
    sales = Source("sales", make_database("sales"), settings)
    sales.start_relay()
    sales.start_server()
    runtime = make_runtime("campaign", "api", settings, clock=FileClock(tmp_path / "clock"))
    api = ApiProcess("services.campaign", runtime)
    api.start()
    environment = {
        **clean_environment(),
        "PYTHONPATH": os.pathsep.join(map(str, (ROOT, ROOT / "protos", ROOT / "protos" / "gen"))),
        "RAPPORT_DATA_DIR": str(tmp_path),
        "RAPPORT_BASE_PORT": str(base),
        "RAPPORT_CAMPAIGN_DATABASE_URL": database_url,
        "RAPPORT_CLOCK": f"file:{tmp_path / 'clock'}",
        "RAPPORT_SECRET_KEY": SECRET,
        "RAPPORT_TOKEN": tokens["campaign"],
        "RAPPORT_ADDRESS": neighbours_at,
        "RAPPORT_PLUGINS_ALLOW": "email,recipients",
        **smtp_environment(smtp.port),
    }
    log = (tmp_path / "processes.log").open("wb")
    running = [
        subprocess.Popen([sys.executable, "-m", *module], cwd=ROOT, env=environment, stdout=log, stderr=log)
        for module in (
            ("services.kit.bus.launcher", "campaign"),
            ("services.cli", "run", "campaign", "sender"),
        )
    ]
    rapport = Rapport(
        address=f"127.0.0.1:{api.ports.api}",
        events_address="127.0.0.1:{port}",
        base_port=base,
        token=tokens["owner"],
    )
    try:
        yield rapport, sales
    finally:
        rapport.close()
        for process in running:
            process.terminate()
        statuses = [process.wait(60) for process in running]
        api.stop()
        sales.close()
        runtime.close()
        log.close()
    assert statuses == [0, 0], (tmp_path / "processes.log").read_text()


def test_a_campaign_and_a_journey_go_out_and_are_foretold_alike(
    stack: tuple[Any, Source], world: World, smtp: SmtpServer, tmp_path: Path
) -> None:
    rapport, sales = stack
    campaign = rapport.campaign
    people = world.add(60)
    campaign.create_template(template_id="hello", template={"contents": [CONTENT]})
    campaign.create_coupon_pool(coupon_pool_id="gift", coupon_pool={"prefix": "G", "personal": True})
    send = {
        "template": "templates/hello",
        "channel": "email.smtp",
        "topic": "marketing",
        "coupon_pool": "couponPools/gift",
    }
    campaign.create_campaign(campaign_id="spring", campaign={"segment": "segments/all", **send})
    operation = campaign.launch_campaign(name="campaigns/spring").operation
    result = campaign.wait_operation(operation, timeout=120)
    assert isinstance(result, pb.LaunchCampaignResult)
    assert (result.counts.audience, result.counts.sent, result.counts.duplicates) == (60, 60, 0)
    assert campaign.get_campaign(name="campaigns/spring").campaign.state == pb.Campaign.STATE_DONE

    campaign.create_journey(
        journey_id="thanks",
        journey={
            "trigger": {"event_type": "order.placed", "reentry_after": timedelta(0)},
            "steps": [{"wait": {"duration": timedelta(days=1)}}, {"send": send}],
        },
    )
    campaign.activate_journey(name="journeys/thanks")
    [message] = campaign.list_messages(contact=people[0]).messages
    placed = NewEvent(
        type="order.placed",
        subject=f"orders/{new_id()}",
        contact=parse_name(people[0], "contacts"),
        revision=1,
        occur_time=NOW,
        data=sales_events.OrderPlaced(coupon_code=message.coupon_code),
    )
    with sales.db.transaction() as connection:
        append(connection, sales.kit.outbox, [placed], record_time=NOW)
    until(
        lambda: campaign.get_coupon_pool(name="couponPools/gift").coupon_pool.redeemed_count == 1,
        "the coupon redeemed",
    )
    until(
        lambda: campaign.get_journey(name="journeys/thanks").journey.started_count == 1, "the journey started"
    )
    write_clock(tmp_path / "clock", NOW + timedelta(days=1))
    until(lambda: len(smtp.received()) == 61, "the journey's mail")
    until(
        lambda: campaign.get_journey(name="journeys/thanks").journey.counts.sent == 1,
        "the message is recorded",
    )
    assert campaign.get_journey(name="journeys/thanks").journey.finished_count == 1
    told = 0
    stream = rapport.events("campaign").subscribe(types=["message.sent"], _timeout=60)
    for batch in stream:
        for event in batch.events:
            payload = events_pb2.MessageFinished()
            assert event.data.Unpack(payload)
            told += 1
        if told >= 61:
            break
    stream.cancel()
    assert told == 61

    # What happened is foretold after the fact, from the events that sales keeps; nobody gets anything again.
    operation = campaign.simulate_journey(name="journeys/thanks").operation
    foretold = campaign.wait_operation(operation, timeout=120).simulation.summary
    assert (foretold.start_count, foretold.send_count, dict(foretold.outcomes)) == (1, 1, {"finished": 1})
    operation = campaign.simulate_campaign(name="campaigns/spring").operation
    foretold = campaign.wait_operation(operation, timeout=120).simulation.summary
    assert (foretold.message_count, foretold.send_count) == (60, 60)
    assert len(smtp.received()) == 61
