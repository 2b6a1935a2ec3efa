"""A campaign whose template is slow waits for itself alone: the others keep their pace, and it still goes out."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator

import pytest
import sqlalchemy as sa

from services.campaign.domain.render_pace import RenderPaces
from services.campaign.domain.rendering import Content
from services.campaign.models import campaign, message
from services.campaign.renderer.pool import Renderer
from services.campaign.sender import Watchdog, channel_threads
from services.campaign.usecases import templates
from services.kit.clock import FixedClock
from services.kit.locks import Locks
from tests.support.campaign import NOW
from tests.support.campaign_limits import FAST, Hall, drain, open_hall
from tests.support.postgres import DatabaseFactory
from tests.support.schema import create_schema
from tests.support.waiting import until

# Some hundredths of a second on any machine, and far less than the two seconds that a message may take.
SLOW = (
    "{% set x = 'a' * 10000 %}{% if contact.given_name != 'Quick' %}"
    "{% for a in range(80) %}{% for b in x %}{% endfor %}{% endfor %}{% endif %}Hello"
)


@pytest.fixture(scope="module")
def open_one(make_module_database: DatabaseFactory) -> Iterator[Hall]:
    url = make_module_database("campaign")
    create_schema("campaign", url)
    with open_hall(url, FixedClock(NOW)) as made:
        yield made


@pytest.fixture
def hall(open_one: Hall) -> Hall:
    open_one.empty()
    runtime = open_one.runtime
    with runtime.db.transaction() as connection:
        templates.create_template(runtime, connection, "slow", "Slow", [Content("", "Hi", SLOW, "")])
    return open_one


def slow_campaign(hall: Hall, people: list[str]) -> None:
    hall.campaign(people, "slow")
    with hall.runtime.db.transaction() as connection:
        connection.execute(
            sa.update(message).where(message.c.origin == "campaigns/slow").values(template_id="slow")
        )
        connection.execute(sa.update(campaign).where(campaign.c.id == "slow").values(template_id="slow"))


def taken(hall: Hall) -> Counter[str]:
    with hall.tape.lock:
        return Counter(item.campaign for _, item in hall.tape.taken)


def test_one_rendering_that_takes_long_is_all_that_others_wait_for(hall: Hall) -> None:
    slow_campaign(hall, hall.world.add(40))
    hall.campaign(hall.world.add(120), "quick")
    paces = RenderPaces(one_seconds=0.015)
    quick = hall.sender(paces=paces, slow=False)
    slow = hall.sender(paces=paces, slow=True)
    assert slow.run_once() == 0
    drain(quick)
    # One of the slow ones was begun, told the campaign's pace, and was put back as if nothing had been tried.
    assert taken(hall) == {"campaigns/quick": 120}
    assert paces.is_slow("campaigns/slow")
    assert not paces.is_slow("campaigns/quick")
    left = [row for row in hall.rows() if row.origin == "campaigns/slow"]
    assert {(row.state, row.attempt_count, row.reason) for row in left} == {("planned", 0, "")}
    # Apart, each batch takes a few: a pause is heeded soon, and several slow campaigns take turns.
    first = slow.run_once()
    assert 0 < taken(hall)["campaigns/slow"] <= first
    drain(slow)
    assert taken(hall) == {"campaigns/quick": 120, "campaigns/slow": 40}


def test_a_campaign_that_is_slow_for_one_person_only_comes_back(hall: Hall) -> None:
    [one], many = hall.world.add(), hall.world.add(150, given_name="Quick")
    slow_campaign(hall, [one, *many])
    paces = RenderPaces(one_seconds=0.015)
    quick, slow = hall.sender(paces=paces, slow=False), hall.sender(paces=paces, slow=True)
    while quick.run_once() or slow.run_once():
        pass
    assert taken(hall) == {"campaigns/slow": 151}
    assert not paces.any_slow


def test_threads_of_a_sender_send_both(hall: Hall) -> None:
    slow_campaign(hall, hall.world.add(300))
    hall.campaign(hall.world.add(100), "quick")
    locks = Locks(hall.runtime.db.engine)
    threads = channel_threads(hall.runtime, hall.manager, locks, Watchdog(600), 0.015)
    try:
        for thread in threads:
            thread.start()
        until(lambda: taken(hall)["campaigns/quick"] == 100, "the quick campaign is sent")
        # The slow ones take many seconds of a processor; the others did not wait for them.
        assert taken(hall)["campaigns/slow"] < 300
        until(lambda: taken(hall)["campaigns/slow"] > 1, "the slow one goes on")
    finally:
        for thread in threads:
            thread.end()
        for thread in threads:
            thread.join()
        locks.close()
    assert FAST in {channel for channel, _ in hall.tape.taken}


def test_a_renderer_of_its_own_ends_with_its_sender(hall: Hall) -> None:
    hall.campaign(hall.world.add(3))
    renderer = Renderer()
    sender = hall.sender(renderer=renderer)
    drain(sender)
    [child] = renderer.child_pids()
    sender.close()
    assert renderer.child_pids() == []
    with pytest.raises(ProcessLookupError):
        os.kill(child, 0)
