"""The real worker process of care, with care's API and a stand-in for campaign on real ports."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

import sqlalchemy as sa

from services.care.models import kit
from services.care.store import cases as store
from services.care.usecases import cases
from services.kit.access.scope import EVERYTHING
from services.kit.clock import write_clock
from services.kit.errors import FailedPrecondition, NotFound
from services.kit.migrations import check
from services.kit.signing import CASE
from tests.support.care import DOMAIN, Campaign, case_id, events, mail, neighbour
from tests.support.processes import WORKER, ServiceProcess, start_process
from tests.support.rabbit import clean_environment
from tests.support.stack import Served
from tests.support.waiting import until

ROOT = Path(__file__).parents[3]
SENDER = "customer@example.test"


@contextmanager
def worker(served: Served, clock: Path | None = None) -> Iterator[ServiceProcess]:
    settings = served.runtime.settings
    environment = {
        **clean_environment(),
        "PYTHONPATH": os.pathsep.join(map(str, (ROOT, ROOT / "protos", ROOT / "protos" / "gen"))),
        "RAPPORT_DATA_DIR": str(served.folder),
        "RAPPORT_BASE_PORT": str(settings.base_port),
        "RAPPORT_EVENTS_ADDRESS": f"127.0.0.1:{served.ports.events}",
        "RAPPORT_CARE_DATABASE_URL": settings.care_database_url,
        "RAPPORT_SECRET_KEY": settings.secret_key,
        "RAPPORT_TOKEN": settings.token,
        "RAPPORT_CLOCK": f"file:{clock}" if clock else f"fixed:{served.clock.now().isoformat()}",
    }
    log = served.folder / "worker.log"
    with log.open("wb") as output:
        process = start_process(WORKER, "care", env=environment, log=output)
    try:
        yield process
        process.terminate()
        assert process.wait(30) == 0, log.read_text()
    finally:
        if process.poll() is None:
            process.kill()
            process.wait(10)


def processed(served: Served) -> int:
    with served.runtime.db.read() as connection:
        return int(connection.scalar(sa.select(sa.func.count()).select_from(kit.processed_event)) or 0)


def test_answers_and_surveys_go_out_once_through_campaign(served: Served):
    care, runtime = served.client, served.runtime
    contact = f"contacts/{uuid4()}"
    campaign = Campaign()
    # A stranger's case, with the mail to answer; and a contact's one, from a queue with a channel of its own.
    raw = mail("help", subject="RE: re: Broken", message_id="<first@x>")
    stranger = care.receive_mail(raw=raw, recipients=[f"care@{DOMAIN}"], sender=SENDER).case
    care.create_queue(queue_id="chat", queue={"reply_channel": "zalo.oa"})
    known = care.create_case(case={"subject": "Two\nlines", "contact": contact, "queue": "queues/chat"}).case
    answer = care.add_case_message(
        case=stranger.name, message={"kind": "KIND_REPLY", "text": "Done!"}
    ).message
    # What the customer writes after the answer is not what is answered.
    care.receive_mail(
        raw=mail("thanks", message_id="<second@x>"),
        recipients=[f"reply+{runtime.signer.sign(CASE, case_id(stranger.name).bytes)}@{DOMAIN}"],
        sender=SENDER,
    )
    care.add_case_message(case=known.name, message={"kind": "KIND_NOTE", "text": "between us"})
    known_state = care.resolve_case(name=known.name).case.state
    reopened = care.create_case(case={"subject": "not done", "contact": contact}).case
    care.resolve_case(name=reopened.name)
    care.reopen_case(name=reopened.name)
    with worker(served):
        # Campaign comes later than the worker: nothing is lost.
        until(lambda: (served.folder / "worker.log").read_text().count("trying again"), "a first attempt")
        assert campaign.sent == {}
        with neighbour(served, "campaign", campaign):
            campaign.wait_for(2)
            until(lambda: processed(served) == 3, "all events have their effect")
    reply = campaign.sent[f"care-reply-{answer.name.removeprefix('caseMessages/')}"]
    assert (reply.contact, reply.address) == ("", SENDER)
    assert (reply.channel, reply.topic, reply.text) == ("email.smtp", "transactional", "Done!")
    assert reply.subject == f"Re: Broken [#{stranger.number}]"
    assert reply.in_reply_to == "<first@x>"
    # The address in it continues the case.
    again = care.receive_mail(raw=mail("more"), recipients=[reply.reply_to], sender=SENDER)
    assert (again.outcome, again.case.name) == (2, stranger.name)
    survey = campaign.sent[f"care-survey-{known.name.removeprefix('cases/')}"]
    assert (survey.contact, survey.address, survey.channel) == (contact, "", "zalo.oa")
    # A person wrote the answer, a machine the survey.
    assert (reply.automatic, survey.automatic) == (False, True)
    assert "\n" not in survey.subject
    assert f"#{known.number} “Two lines”" in survey.text
    assert "answer this mail with a number from 1 to 5" in survey.text
    token = re.search(r"survey code: (\S+)", survey.text)
    assert token
    assert survey.reply_to == f"reply+{token.group(1)}@{DOMAIN}"
    served.client_with(token="").record_csat_answer(token=token.group(1), score=4)
    assert care.get_case(name=known.name).case.csat_score == 4
    rated = care.receive_mail(raw=mail("5"), recipients=[survey.reply_to], sender=SENDER)
    assert (rated.outcome, rated.case.name) == (2, known.name)
    assert (rated.case.csat_score, rated.case.state) == (5, known_state)
    assert len(campaign.sent) == 2


def test_an_effect_whose_record_was_lost_is_not_repeated(served: Served):
    care, campaign = served.client, Campaign()
    case = care.create_case(case={"subject": "s", "contact": f"contacts/{uuid4()}"}).case
    care.add_case_message(case=case.name, message={"kind": "KIND_REPLY", "text": "Done!"})
    with neighbour(served, "campaign", campaign):
        with worker(served):
            until(lambda: processed(served) == 1, "the answer is sent")
        with served.runtime.db.transaction() as connection:
            connection.execute(sa.delete(kit.processed_event))
            connection.execute(sa.update(kit.subscription).values(position=0))
        # Meanwhile the queue got another channel, so that the request differs.
        queue = care.list_queues().queues[0].name
        care.update_queue(queue={"name": queue, "reply_channel": "zalo.oa"}, update_mask=["reply_channel"])
        with worker(served):
            until(lambda: processed(served) == 1, "the answer is recorded")
    assert len(campaign.sent) == 1
    assert len(campaign.calls) == 2
    with served.runtime.db.read() as connection:
        assert connection.execute(sa.select(kit.dead_letter)).all() == []


class Refusing(Campaign):
    """Refuse for good what goes to a channel that nobody offers, and every survey."""

    def SendMessage(self, request: Any, context: Any) -> Any:
        if request.channel == "gone.channel":
            self.calls.append(request.request_id)
            raise NotFound("no plugin offers the channel 'gone.channel'", reason="UNKNOWN_CHANNEL")
        if request.request_id.startswith("care-survey-"):
            self.calls.append(request.request_id)
            raise FailedPrecondition("the contact has no address.", reason="NO_ADDRESS")
        return super().SendMessage(request, context)


def test_what_campaign_refuses_for_good_becomes_a_note_and_somebody_sees_the_case(served: Served):
    care, runtime, campaign = served.client, served.runtime, Refusing()
    care.create_queue(queue_id="gone", queue={"reply_channel": "gone.channel"})

    def answered(queue: str) -> str:
        values = {"subject": "s", "contact": f"contacts/{uuid4()}", "queue": queue}
        name: str = care.create_case(case=values).case.name
        care.add_case_message(case=name, message={"kind": "KIND_REPLY", "text": "Done!"})
        return name

    def notes(name: str) -> list[str]:
        found = care.list_case_messages(case=name).messages
        return [one.text for one in found if one.kind == one.KIND_NOTE]

    def state(name: str) -> str:
        return cases.get_case(runtime, case_id(name)).state

    default = care.create_queue(queue_id="main", queue={"default_queue": True}).queue.name
    waiting, solved, closed = (answered("queues/gone") for _ in range(3))
    surveyed = answered(default)
    for name in (solved, closed, surveyed):
        care.resolve_case(name=name)
    with runtime.db.transaction() as connection:
        found = store.get(connection, case_id(closed), EVERYTHING)
        assert found is not None
        store.update(connection, found, served.clock.now(), state="closed")
    assert [state(name) for name in (waiting, solved, closed, surveyed)] == [
        "waiting",
        "resolved",
        "closed",
        "resolved",
    ]
    with neighbour(served, "campaign", campaign), worker(served):
        until(lambda: processed(served) == 7, "all events have their effect")
    refused = (
        f"The answer of {served.clock.now():%Y-%m-%d %H:%M} UTC could not be sent: no plugin offers the channel "
        "'gone.channel' (UNKNOWN_CHANNEL). Put that right and answer again."
    )
    assert notes(waiting) == [refused]
    # Depending on which event came first, the survey of a case that is open again is not tried.
    assert refused in notes(solved)
    assert refused in notes(closed)
    assert notes(surveyed) == [
        "The customer could not be asked how it was: the contact has no address (NO_ADDRESS). "
        "The case stays as it is."
    ]
    assert (state(waiting), state(solved), state(closed), state(surveyed)) == (
        "open",
        "open",
        "closed",
        "resolved",
    )
    assert [row.subject for row in events(runtime, "case.reopened")] == [solved]
    assert [request.contact for request in campaign.sent.values()] == [
        care.get_case(name=surveyed).case.contact
    ]
    with runtime.db.read() as connection:
        assert connection.execute(sa.select(kit.dead_letter)).all() == []


def test_timers_mark_assign_and_close_as_the_business_clock_moves(served: Served, tmp_path: Path):
    clock = tmp_path / "clock"
    write_clock(clock, served.clock.now())
    care = served.client
    promise = {"first_response_minutes": 30}
    care.create_queue(queue_id="main", queue={"default_queue": True, "sla_targets": [promise]})
    late = care.create_case(case={"subject": "late"}).case
    solved = care.create_case(case={"subject": "solved"}).case
    care.resolve_case(name=solved.name)
    care.create_agent(agent_id="ana", agent={"available": True})
    care.update_queue(queue={"name": "queues/main", "agents": ["agents/ana"]}, update_mask=["agents"])
    with worker(served, clock):
        until(lambda: care.get_case(name=late.name).case.assignee == "agents/ana", "the case is assigned")
        assert not care.get_case(name=late.name).case.breached
        write_clock(clock, served.clock.now() + timedelta(minutes=31))
        until(lambda: care.get_case(name=late.name).case.breached, "the breach is marked")
    write_clock(clock, served.clock.now() + timedelta(days=31))
    with worker(served, clock):
        until(lambda: cases.get_case(served.runtime, case_id(solved.name)).state == "closed", "it is closed")
    assert len(events(served.runtime, "case.breached")) == 1
    assert not care.get_case(name=solved.name).case.breached


def test_migrations_make_what_the_models_say(database: str):
    assert check("care", database) == []
