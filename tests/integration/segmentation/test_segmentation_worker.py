"""A real worker process: event streams of stub publishers in, memberships and events out."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import sqlalchemy as sa
from rapport.segmentation.v1 import segmentation_pb2 as pb
from rapport_client import errors

from tests.integration.segmentation.test_segment_slow import CUBIC, ORDERS
from tests.support.postgres import DatabaseFactory
from tests.support.segmentation import NOW, contact, contact_id, days, order, page_visited_defined, visit
from tests.support.segmentation_stack import Stack
from tests.support.toy import ROOT, eventually

KEY, OTHER = contact_id(1), contact_id(2)
NAME, OTHER_NAME = f"contacts/{KEY}", f"contacts/{OTHER}"


@pytest.fixture
def stack(tmp_path: Path, make_database: DatabaseFactory) -> Iterator[Stack]:
    """Everything, the worker not yet started."""
    made = Stack(tmp_path, make_database)
    yield made
    made.close()


def test_events_become_memberships_that_time_and_a_killed_worker_do_not_upset(stack: Stack) -> None:
    """From the first contact to expiry, through a SIGKILL in the midst."""
    stack.start_worker()
    stack.publish(page_visited_defined(), contact(KEY, region_code="VN"))
    eventually(lambda: "page_visited" in {item.name for item in stack.api.get_rule_schema().event_types})
    stack.define("buyers", "events.order_placed.exists(o, now - o.time <= days(30))")
    stack.define("visitors", 'events.page_visited.size() >= 2 && !in_segment("segments/buyers")')
    stack.define("gold", 'loyalty.tier(contact) == "gold"')
    stack.define("frequent", "contact.traits.rfm_frequency >= 1")
    stack.publish(
        order(OTHER, NOW - days(3), "1000000"),  # before its contact
        order(KEY, NOW - days(29)),
        visit(KEY, NOW),
        visit(KEY, NOW),
        contact(OTHER),
    )
    eventually(lambda: stack.members("buyers") == sorted([NAME, OTHER_NAME]))
    eventually(lambda: stack.members("gold") == [OTHER_NAME])
    assert stack.members("visitors") == []

    result = stack.api.wait_operation(stack.api.refresh_traits(), timeout=60)
    assert list(result.traits) == ["rfm.scores"]
    assert stack.members("frequent") == sorted([NAME, OTHER_NAME])

    stack.set_clock(NOW + days(2))
    eventually(lambda: stack.members("buyers") == [OTHER_NAME])
    assert stack.members("visitors") == [NAME]

    stack.kill_worker()
    more = [contact_id(number) for number in range(10, 40)]
    stack.publish(*(contact(key) for key in more), *(order(key, NOW) for key in more))
    stack.start_worker()
    eventually(lambda: stack.api.get_segment(name="segments/buyers").segment.member_count == 31)
    with stack.runtime.db.read() as connection:
        assert connection.execute(sa.text("SELECT count(*) FROM dead_letter")).scalar_one() == 0
        orders = connection.execute(sa.text("SELECT sum(order_count) FROM profile")).scalar_one()
    assert orders == 32

    told = []
    for response in stack.rapport.events("segmentation").subscribe(
        start={}, types=["segment.entered", "segment.left"]
    ):
        told += [(item.type, item.contact, item.subject) for item in response.events]
        if sum(item[2] == "segments/buyers" for item in told) == 33:
            break
    assert told.count(("segment.entered", NAME, "segments/buyers")) == 1
    assert told.count(("segment.left", NAME, "segments/buyers")) == 1


def test_a_rebuild_that_lasts_ends_with_its_worker_goes_on_with_the_next_and_is_cancelled(
    stack: Stack,
) -> None:
    """In the midst of a statement; what others told meanwhile arrives."""
    stack.environment["RAPPORT_RULE_REBUILD_SECONDS"] = "3600"
    stack.start_worker()
    stack.define("buyers", "events.order_placed.size() > 0")
    stack.publish(contact(KEY), *(order(KEY, NOW, category=f"c{number:03}") for number in range(ORDERS)))
    eventually(lambda: stack.members("buyers") == [NAME])
    started = stack.api.create_segment(segment_id="slow", segment={"rule": CUBIC}).rebuild

    def stage() -> str:
        return str(
            stack.rapport.operations("segmentation").get_operation(name=started.name).operation.progress.stage
        )

    looking = "segments/slow: looking who differs"
    eventually(lambda: stage() == looking)
    assert stack.worker is not None
    stack.worker.terminate()
    assert stack.worker.wait(60) == 0
    with stack.runtime.db.transaction() as connection:
        # So that it is seen to be told anew.
        connection.execute(sa.text("UPDATE operation SET stage = ''"))
    stack.publish(contact(OTHER), order(OTHER, NOW))
    stack.start_worker()
    eventually(lambda: stage() == looking)
    stack.rapport.operations("segmentation").cancel_operation(name=started.name)
    with pytest.raises(errors.Cancelled):
        stack.api.wait_operation(started, timeout=60)
    slow = stack.api.get_segment(name="segments/slow").segment
    assert (slow.state, slow.member_count) == (pb.Segment.STATE_FAILED, 0)
    assert "its rebuild was cancelled" in slow.state_message
    eventually(lambda: stack.members("buyers") == sorted([NAME, OTHER_NAME]))


def test_the_worker_refuses_to_run_without_a_required_plugin(stack: Stack) -> None:
    stack.environment["RAPPORT_PLUGINS_REQUIRED"] = "zalo,loyalty"
    ran = subprocess.run(
        [sys.executable, "-m", "services.kit.bus.launcher", "segmentation"],
        cwd=ROOT,
        env=stack.environment,
        capture_output=True,
        text=True,
        timeout=90,
        check=False,
    )
    assert ran.returncode == 1
    last = ran.stderr.splitlines()[-1]
    assert last.startswith("segmentation worker: required plugins are not usable: zalo: required, but")
    stack.environment["RAPPORT_PLUGINS_REQUIRED"] = "loyalty"
    stack.start_worker()
    stack.define("gold", 'loyalty.tier(contact) == "gold"')
