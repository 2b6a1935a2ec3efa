"""Rate limits that all senders share, throttled campaigns beside free ones, and circuits."""

from __future__ import annotations

import itertools
import threading
import time
from collections.abc import Iterator
from datetime import timedelta
from uuid import UUID

import pytest
import sqlalchemy as sa
from rapport_sdk import Outcome, SendResult

from services.campaign.domain.circuit import CLOSED, OPEN
from services.campaign.domain.rates import Bucket
from services.campaign.models import rate_bucket
from services.campaign.sender import ChannelThread, Watchdog
from services.campaign.store import rates as store
from services.campaign.usecases import campaigns, channels, rates, upkeep
from services.campaign.usecases.throttle import Throttle
from services.kit.clock import SystemClock
from services.kit.locks import Locks
from tests.support.campaign_limits import ACCEPTED, FAST, OTHER, Hall, drain, open_hall, run_until
from tests.support.postgres import DatabaseFactory


@pytest.fixture(scope="module")
def open_one(make_module_database: DatabaseFactory) -> Iterator[Hall]:
    url = make_module_database.with_tables("campaign")
    with open_hall(url, SystemClock()) as made:
        yield made


@pytest.fixture
def hall(open_one: Hall) -> Hall:
    open_one.empty()
    return open_one


def database_time(hall: Hall) -> float:
    with hall.runtime.db.read() as connection:
        return float(connection.scalar(sa.text("SELECT extract(epoch FROM clock_timestamp())")))


@pytest.mark.parametrize(("senders", "rate"), [(2, 400.0), (4, 5000.0)])
def test_senders_together_take_what_the_limit_gives_and_no_more(
    hall: Hall, senders: int, rate: float
) -> None:
    burst = int(rate / 5)
    hall.limit(rate, burst=burst)
    stop = threading.Event()
    taken: list[tuple[float, float, int]] = []

    def work() -> None:
        throttle = Throttle(hall.runtime)
        with hall.runtime.db.read() as connection:
            throttle.load(connection)
        while not stop.is_set():
            before = database_time(hall)
            places = throttle.take_places(FAST, 100) if throttle.usable(FAST) else 0
            after = database_time(hall)
            if places:
                # Every third is not used, as when messages are suppressed, and is there for others at once.
                unused = places // 3
                throttle.give_back(FAST, unused)
                taken.append((before, after, places - unused))
            else:
                stop.wait(throttle.wait(1.0))

    threads = [threading.Thread(target=work) for _ in range(senders)]
    for thread in threads:
        thread.start()
    time.sleep(2.0)
    stop.set()
    for thread in threads:
        thread.join()
    taken.sort()
    # In any stretch, never more than what comes in it and a burst; a place given back late counts where it was taken.
    for first in range(0, len(taken), 7):
        total = 0
        for before, after, places in taken[first:]:
            total += places
            assert total <= (after - taken[first][0]) * rate * 1.02 + burst + 100 * senders, (first, before)
    begin, end = taken[0][0], taken[-1][1]
    total = sum(places for _, _, places in taken)
    assert total <= (end - begin) * rate * 1.02 + burst
    if max(after - before for before, after, _ in taken) < 0.05:
        # On a machine that lets the senders come in time, nothing is lost either.
        assert total >= (end - begin) * rate * 0.98 - burst


def test_a_bucket_holds_the_slowest_rate_and_gives_back(hall: Hall) -> None:
    slow = Bucket("slow", 1 / 60, 1)
    pair = Bucket("pair", 10.0, 4)
    with hall.runtime.db.transaction() as connection:
        grants = store.take(connection, {slow: 5, pair: 3})
        assert (grants[slow].places, grants[pair].places) == (1, 3)
        assert 59 < grants[slow].wait <= 60
        assert grants[pair].wait == 0
        # Asked again at once there is at most what has come meanwhile.
        again = store.take(connection, {slow: 5})
        assert (again[slow].places, 58 < again[slow].wait <= 60) == (0, True)
        store.give_back(connection, {slow: 1})
        assert store.take(connection, {slow: 5})[slow].places == 1
        connection.execute(sa.update(rate_bucket).values(tat=rate_bucket.c.tat - timedelta(days=1)))
        assert store.take(connection, {pair: 100})[pair].places == 4, (
            "never more than a burst, however long ago"
        )
        connection.execute(sa.update(rate_bucket).values(tat=rate_bucket.c.tat - timedelta(days=1)))
    upkeep.forget_places(hall.runtime)
    with hall.runtime.db.read() as connection:
        assert connection.scalar(sa.select(sa.func.count()).select_from(rate_bucket)) == 0


def test_three_senders_send_everything_under_a_shared_limit(hall: Hall) -> None:
    hall.limit(100.0, burst=10)
    times: list[float] = []

    def note(channel: str, item: object) -> SendResult:
        times.append(time.monotonic())
        return ACCEPTED

    hall.tape.answer = note
    hall.campaign(hall.world.add(120))
    run_until([hall.sender() for _ in range(3)], lambda: len(hall.tape.taken) == 120)
    assert len({item.message_id for item in hall.tape.of(FAST)}) == 120
    # 110 of them had to come: at 100 a second that takes 1.1 s, whoever sent them.
    assert times[-1] - times[0] >= 1.1 * 0.98 - 0.1
    assert max(hall.tape.calls) <= 10


def test_a_throttled_channel_holds_up_no_other_and_takes_no_messages_in_hand(hall: Hall) -> None:
    hall.limit(1 / 60, burst=1)
    people = hall.world.add(60)
    hall.campaign(people, "slow")
    hall.campaign(people, "free", channel=OTHER)
    sender = hall.sender()
    drain(sender)
    assert (len(hall.tape.of(FAST)), len(hall.tape.of(OTHER))) == (1, 60)
    assert {row.state for row in hall.rows() if row.channel == FAST} == {"planned", "sent"}
    assert sender.run_once() == 0
    assert 0.5 < sender.wait_seconds(5.0) <= 1.0, "it neither turns nor sleeps through a change of limits"
    # Without the limit they go within a second.
    rates.delete_limit(hall.runtime, "all", "")
    run_until([sender], lambda: len(hall.tape.of(FAST)) == 60)


def test_a_throttled_domain_holds_up_no_other_of_its_campaign(hall: Hall) -> None:
    hall.limit(1 / 60, "gmail", domain="gmail.com", burst=2)
    hall.limit(1 / 60, "each", domain="*", burst=3)
    people = [
        hall.world.add(address=f"p{number}@{domain}")[0]
        for number in range(12)
        for domain in ("gmail.com", "Mail.test", f"own{number}.test")
    ]
    hall.campaign(people)
    sender = hall.sender()
    drain(sender)
    by_domain: dict[str, int] = {}
    for item in hall.tape.of(FAST):
        domain = item.to.partition("@")[2].lower()
        by_domain[domain] = by_domain.get(domain, 0) + 1
    assert (by_domain.pop("gmail.com"), by_domain.pop("mail.test")) == (2, 3)
    assert set(by_domain.values()) == {1}
    assert len(by_domain) == 12
    waiting = [row for row in hall.rows() if row.state == "planned"]
    reasons = sorted(row.reason for row in waiting)
    assert reasons == ["RATE_LIMITED: gmail.com"] * 10 + ["RATE_LIMITED: mail.test"] * 9
    assert {row.attempt_count for row in waiting} == {0}
    # Each is put back to when its own place comes, a minute after the one before it.
    due = sorted(row.due_time for row in waiting if row.reason.endswith("gmail.com"))
    gaps = [(later - earlier).total_seconds() for earlier, later in itertools.pairwise(due)]
    assert all(59 < gap < 61 for gap in gaps)
    # Single messages to the domain don't queue up behind the campaign.
    assert due[0] < hall.runtime.clock.now() + timedelta(seconds=61)


def test_places_of_messages_that_do_not_leave_are_there_for_others(hall: Hall) -> None:
    hall.limit(1 / 60, "all", burst=3)
    hall.limit(1 / 60, "gmail", domain="gmail.com", burst=3)
    refused = hall.world.add(3, consent=0, address="a@gmail.com")
    hall.campaign(refused, "refused")
    sender = hall.sender()
    drain(sender)
    assert {row.reason for row in hall.rows()} == {"NO_CONSENT"}
    hall.campaign(hall.world.add(3, address="b@gmail.com"), "good")
    drain(sender)
    assert len(hall.tape.of(FAST)) == 3


def test_a_dead_channel_is_left_alone_and_tried_with_one_message(hall: Hall) -> None:
    dead = [True]
    hall.tape.answer = lambda channel, item: (
        SendResult(Outcome.TEMPORARY, reason="not tried: no session")
        if dead[0] and channel == FAST
        else ACCEPTED
    )
    people = hall.world.add(30)
    hall.campaign(people, "dead")
    hall.campaign(people, "alive", channel=OTHER)
    sender = hall.sender()
    drain(sender)
    assert (len(hall.tape.of(FAST)), len(hall.tape.of(OTHER))) == (0, 30)
    assert {row.attempt_count for row in hall.rows() if row.channel == FAST} == {0}
    circuit = sender.throttle.channels[FAST].circuit
    assert circuit.state(time.monotonic()) == OPEN
    channels.tell_circuits(hall.runtime, sender._live(), sender.throttle)
    told = {row.channel: row for row in channels.list_circuits(hall.runtime)}
    assert (told[FAST].state, told[FAST].problem, told[OTHER].state) == (
        OPEN,
        "not tried: no session",
        CLOSED,
    )
    assert 0 < told[FAST].retry_seconds < 1
    before = len(hall.tape.tried)
    hall.tape.calls.clear()
    run_until([sender], lambda: len(hall.tape.tried) >= before + 2)
    # The probes of one message each; twice as long a pause after each.
    assert set(hall.tape.calls) == {1}
    assert circuit.wait(time.monotonic()) > 0.5
    dead[0] = False
    run_until([sender], lambda: len(hall.tape.of(FAST)) == 30)
    assert circuit.state(time.monotonic()) == CLOSED
    assert {(row.state, row.attempt_count) for row in hall.rows()} == {("sent", 1)}
    hall.locks.pop().close()
    upkeep.forget_places(hall.runtime)
    assert channels.list_circuits(hall.runtime) == []


def test_a_domain_that_fails_opens_its_own_circuit_only(hall: Hall) -> None:
    hall.tape.answer = lambda channel, item: (
        SendResult(Outcome.TEMPORARY, reason="451 not now") if item.to.endswith("gmail.com") else ACCEPTED
    )
    hall.campaign(hall.world.add(40, address="x@gmail.com"), "gmail")
    sender = hall.sender()
    drain(sender)
    assert sender.throttle.channels[FAST].circuit.state(time.monotonic()) == CLOSED
    tried = len(hall.tape.tried)
    assert tried < 60, "after ten in a row, and the rest of the batch, none is tried"
    hall.campaign(hall.world.add(25, address="y@gmail.com"), "late")
    hall.campaign(hall.world.add(25), "others")
    drain(sender)
    assert len(hall.tape.of(FAST)) == 25
    assert [row.domain for row in sender.throttle.report() if row.state != CLOSED] == ["gmail.com"]
    assert any(row.reason.startswith("DOMAIN_UNAVAILABLE: gmail.com: 451") for row in hall.rows())


def test_a_pause_stops_a_slow_channel_within_a_second(hall: Hall) -> None:
    def slow(channel: str, item: object) -> SendResult:
        time.sleep(0.05)
        return ACCEPTED

    hall.tape.answer = slow
    hall.campaign(hall.world.add(100))
    sender = hall.sender(call_seconds=0.1)
    run_until([sender], lambda: len(hall.tape.taken) >= 6)
    # As fast as it is, it gets two or three messages in a call, and no more are in hand than leave in half a second.
    assert max(hall.tape.calls) <= 5
    paused = len(hall.tape.taken)
    campaigns.change_state(hall.runtime, "pause", "spring")
    drain(sender)
    assert len(hall.tape.taken) == paused
    campaigns.change_state(hall.runtime, "resume", "spring")
    stopped: list[int] = []

    def pause_in_the_midst(channel: str, item: object) -> SendResult:
        if not stopped:
            campaigns.change_state(hall.runtime, "pause", "spring")
            stopped.append(len(hall.tape.taken))
        return slow(channel, item)

    hall.tape.answer = pause_in_the_midst
    drain(sender)
    assert len(hall.tape.taken) - stopped[0] <= 10
    states = {row.state for row in hall.rows()}
    assert states == {"sent", "planned"}
    assert {row.attempt_count for row in hall.rows() if row.state == "planned"} == {0}


def test_a_slow_channel_holds_up_no_other_in_a_process(hall: Hall) -> None:
    release = threading.Event()

    def answer(channel: str, item: object) -> SendResult:
        if channel == FAST:
            release.wait(30)
        return ACCEPTED

    hall.tape.answer = answer
    people = hall.world.add(20)
    hall.campaign(people, "stuck")
    hall.campaign(people, "free", channel=OTHER)
    locks = Locks(hall.runtime.db.engine)
    hall.locks.append(locks)
    threads = [
        ChannelThread(hall.runtime, hall.manager, locks, Watchdog(60), name, chores=name == FAST)
        for name in (FAST, OTHER)
    ]
    for thread in threads:
        thread.start()
    try:
        until = time.monotonic() + 30
        while len(hall.tape.of(OTHER)) < 20:
            assert time.monotonic() < until, "the free one waits for the stuck one"
            time.sleep(0.02)
        assert hall.tape.of(FAST) == []
        hall.campaign(people, "more", channel=OTHER)
        threads[1].wake()
        while len(hall.tape.of(OTHER)) < 40:
            assert time.monotonic() < until, "nobody woke it"
            time.sleep(0.02)
    finally:
        release.set()
        for thread in threads:
            thread.end()
        for thread in threads:
            thread.join()
    # What was on the wire is finished, and what was not stays planned.
    stuck = {row.state for row in hall.rows() if row.channel == FAST}
    assert "sent" in stuck
    assert stuck <= {"sent", "planned"}


def test_places_of_a_campaign_are_shared_by_lanes(hall: Hall) -> None:
    hall.limit(1 / 60, burst=20)
    people = hall.world.add(50)
    for key in ("a", "b"):
        hall.campaign(people, key)
    drain(hall.sender())
    sent = [row.origin for row in hall.rows() if row.state == "sent"]
    assert {origin: sent.count(origin) for origin in set(sent)} == {"campaigns/a": 10, "campaigns/b": 10}
    assert len({UUID(item.message_id) for item in hall.tape.of(FAST)}) == 20
