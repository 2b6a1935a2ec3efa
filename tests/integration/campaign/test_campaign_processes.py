"""Real sender processes against a real mail server: killed, doubled, stuck, stopped. Nothing is lost or sent twice."""

from __future__ import annotations

import random
import socket
from collections import Counter
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path

import pytest
import sqlalchemy as sa
from rapport_testing.smtp import SmtpServer

from services.campaign.domain.rates import RateLimit
from services.campaign.domain.resolutions import AS_RETRY, AS_SENT
from services.campaign.models import message
from services.campaign.sender import STUCK
from services.campaign.usecases import launching, messages, rates, resolving, upkeep
from services.campaign.usecases.sending import HAND_OVER
from services.kit.clock import write_clock
from services.kit.runtime import Runtime
from services.kit.supervise import probes
from tests.support.campaign import (
    CHANNEL,
    NOW,
    SenderProcess,
    World,
    counts,
    make_campaign,
    make_pool,
    make_template,
    plan,
    start_sender,
)
from tests.support.waiting import until

Start = Callable[..., SenderProcess]


@pytest.fixture
def start(
    runtime: Runtime, database_url: str, neighbours_at: str, smtp: SmtpServer, tmp_path: Path
) -> Iterator[Start]:
    """Start sender processes, all of which have ended when the test has."""
    # The clock stands still: whether a sender lives must not depend on it.
    write_clock(tmp_path / "clock", NOW)
    started: list[SenderProcess] = []

    def begin(*options: str, port: int = smtp.port, **variables: str) -> SenderProcess:
        clock = f"file:{tmp_path / 'clock'}"
        made = start_sender(
            tmp_path, database_url, "k" * 32, neighbours_at, port, clock, *options, **variables
        )
        started.append(made)
        return made

    yield begin
    for each in started:
        each.kill()


def check_against_the_server(runtime: Runtime, smtp: SmtpServer, members: int) -> None:
    """Compare the ledger with what the server got: nobody missed, nobody twice, unknown ones apart."""
    taken = Counter(mail.message_id for mail in smtp.received())
    assert [key for key, times in taken.items() if times > 1] == []
    with runtime.db.read() as connection:
        states = dict(tuple(row) for row in connection.execute(sa.select(message.c.id, message.c.state)))
    assert len(states) == members
    sent = {str(key) for key, state in states.items() if state == "sent"}
    unknown = {str(key) for key, state in states.items() if state == "unknown"}
    assert sent <= taken.keys() <= sent | unknown
    assert len(sent) + len(unknown) == members


def test_killed_senders_lose_nothing_and_double_nothing(
    runtime: Runtime, world: World, smtp: SmtpServer, start: Start
) -> None:
    members, kills = 900, 3
    world.add(members)
    make_template(runtime)
    make_pool(runtime)
    make_campaign(runtime, coupon_pool_id="gift")
    op = plan(runtime)
    points = sorted(random.Random(7).sample(range(50, members - 200), kills))
    for point in points:
        running = start()
        until(lambda point=point: len(smtp.received()) >= point, f"{point} mails before the kill")
        running.kill()
        # Another process applies the rules of a crash; the next sender does so as well.
        upkeep.recover_messages(runtime)
    last = start()
    found = launching.launch(runtime, op)
    assert last.stop() == 0, last.log.read_text()
    assert found.of("failed", "suppressed", "planned", "claimed", "sending") == 0
    assert found.of("unknown") <= kills * HAND_OVER
    check_against_the_server(runtime, smtp, members)
    # A person decides on what is unknown, here by looking at what the server got.
    taken = {mail.message_id for mail in smtp.received()}
    for item in messages.list_messages(
        runtime, contact_id=None, origin="campaigns/spring", state="unknown", before=None, count=1000
    ):
        resolving.resolve_message(runtime, item.id, AS_SENT if str(item.id) in taken else AS_RETRY)
    start()
    until(lambda: counts(runtime).of("sent") == members, "all messages sent")
    assert len({mail.message_id for mail in smtp.received()}) == len(smtp.received()) == members
    assert counts(runtime).duplicates == 0


def test_two_senders_share_the_work(runtime: Runtime, world: World, smtp: SmtpServer, start: Start) -> None:
    world.add(900)
    make_template(runtime)
    make_campaign(runtime)
    start()
    start()
    op = plan(runtime)
    assert launching.launch(runtime, op).of("sent") == 900
    check_against_the_server(runtime, smtp, 900)
    with runtime.db.read() as connection:
        assert connection.scalar(sa.select(sa.func.count(message.c.sender_id.distinct()))) == 2


def test_a_limited_sender_goes_on_when_its_next_place_comes(
    runtime: Runtime, world: World, smtp: SmtpServer, start: Start
) -> None:
    """One place at a time, ten a second: a sender that only polled would send one a second, in 70 s."""
    limit = RateLimit(
        id="narrow",
        channels=(CHANNEL,),
        domain="",
        count=10,
        period=timedelta(seconds=1),
        burst=1,
        revision=0,
        create_time=NOW,
        update_time=NOW,
    )
    rates.set_limit(runtime, limit, "")
    world.add(70)
    make_template(runtime)
    make_campaign(runtime)
    start()
    plan(runtime)
    until(lambda: counts(runtime).of("sent") == 70, "all messages sent", timeout=45)


def test_sigterm_finishes_what_is_on_the_wire(
    runtime: Runtime, world: World, smtp: SmtpServer, start: Start
) -> None:
    world.add(800)
    make_template(runtime)
    make_campaign(runtime)
    running = start()
    plan(runtime)
    until(lambda: len(smtp.received()) > 20, "the first mails")
    assert running.stop() == 0, running.log.read_text()
    found = counts(runtime)
    assert found.of("sent") == len(smtp.received())
    assert (found.of("unknown", "claimed", "sending"), found.of("planned") > 0) == (0, True)


def test_an_idle_sender_is_woken(runtime: Runtime, world: World, smtp: SmtpServer, start: Start) -> None:
    running = start()
    until(lambda: "sending" in running.log.read_text(), "the sender's start")
    for number in range(3):
        given = messages.SingleMessage(
            contact_id=None,
            channel="email.smtp",
            topic="transactional",
            subject="s",
            text="t",
            reply_to="",
            in_reply_to="",
            address=f"n{number}@mail.test",
        )
        messages.send_message(runtime, given, f"r{number}")
        until(lambda number=number: len(smtp.received()) == number + 1, "the mail")
    assert running.stop() == 0


def test_the_watchdog_ends_a_sender_whose_adapter_hangs(
    runtime: Runtime, world: World, smtp: SmtpServer, start: Start
) -> None:

    world.add(3)
    make_template(runtime)
    make_campaign(runtime)
    with socket.socket() as mute:
        mute.bind(("127.0.0.1", 0))
        mute.listen()  # takes connections and never says a word
        stuck = start("--deadline-seconds", "2", port=mute.getsockname()[1])
        plan(runtime)
        assert stuck.process.wait(60) == STUCK
    assert "no progress" in stuck.log.read_text()
    upkeep.recover_messages(runtime)
    found = counts(runtime)
    assert (found.of("unknown"), found.of("planned", "claimed", "sending")) == (3, 0)
    assert smtp.received() == []


def test_a_sender_is_ready_once_its_plugins_are_loaded_and_refuses_to_run_without_a_required_one(
    runtime: Runtime, world: World, start: Start, tmp_path: Path
) -> None:
    file = tmp_path / "sender.ready"
    ready = probes.pid_file(file)
    refused = start("--ready-file", str(file), RAPPORT_PLUGINS_REQUIRED="zalo,email")
    assert refused.process.wait(60) == 1
    assert "required plugins are not usable: zalo: required, but" in refused.log.read_text()
    assert not file.exists()
    running = start("--ready-file", str(file), RAPPORT_PLUGINS_REQUIRED="email")
    until(ready, "the sender is ready")
    assert file.read_text().strip() == str(running.process.pid)
    assert running.stop() == 0
    assert not file.exists()
