"""Everything at once: threads tell of contacts, merge and erase them, let time pass, change lists, and rebuild
segments, some of which ask a plugin; in the end memberships are what the rules say, and each entry and exit was told
once.
"""

from __future__ import annotations

import random
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import suppress
from uuid import UUID

import pytest
import sqlalchemy as sa
from google.rpc.status_pb2 import Status
from rapport.segmentation.v1 import segmentation_pb2 as pb

from services.kit.db import is_transient
from services.kit.errors import Cancelled, FailedPrecondition
from services.kit.names import parse_name
from services.kit.operations import OperationContext, store
from services.kit.plugins import PluginHost
from services.kit.plugins.breaker import Breakers
from services.segmentation.models import kit
from services.segmentation.store import sweeps
from services.segmentation.usecases import (
    asking,
    defining,
    lists,
    plugin_changes,
    rebuilding,
    settling,
    upkeep,
)
from services.segmentation.usecases.defining import Change
from tests.integration.segmentation.test_segment_asking import SHOP
from tests.plugins.plugin_sources import write_plugin
from tests.support.postgres import DatabaseFactory
from tests.support.segmentation import NOW, World, contact, contact_id, days, erased, merged, order, world
from tests.support.segmentation_scratch import _check_sums, _check_told, from_scratch

PEOPLE = [contact_id(number) for number in range(60)]
STEPS = 30
RULES = {
    "vietnam": ('contact.region_code == "VN"', 'contact.region_code != "VN"'),
    "recent": (
        "events.order_placed.exists(o, now - o.time <= days(5))",
        "events.order_placed.filter(o, now - o.time <= days(9)).size() >= 2",
    ),
    "asked": (
        'shop.recent(contact) >= 2 && contact.region_code == "VN"',
        'shop.recent(contact) < 2 || in_segment("segments/hand")',
    ),
    "local": (
        'in_segment("segments/vietnam") && in_segment("segments/recent")',
        'in_segment("segments/vietnam") != in_segment("segments/hand")',
    ),
    "rest": (
        '!in_segment("segments/asked")',
        '!in_segment("segments/asked") || in_segment("segments/local")',
    ),
}


@pytest.fixture
def seg(
    make_database: DatabaseFactory,
    tmp_path_factory: pytest.TempPathFactory,
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[World]:
    """Segments over people, a list, and slices and batches so small that there are many of each."""
    for name, value in {"START": 7, "FEWEST": 7, "FASTER": 1, "SLOWER": 1}.items():
        monkeypatch.setattr(sweeps, name, value)
    monkeypatch.setattr(asking, "PYTHON_BATCH", 4)
    monkeypatch.setattr(asking, "FEW", 3)
    monkeypatch.setattr(settling, "BATCH", 5)
    folder = tmp_path_factory.mktemp("plugins")
    module = write_plugin(folder, SHOP)
    host = PluginHost(
        ["shop"],
        modules={"shop": module},
        paths=[str(folder)],
        breakers=Breakers(threshold=10**6),
        processes=2,
    )
    with world(make_database.with_tables("segmentation"), plugins=host) as made:
        plugin_changes.notice_plugins(made.service)
        made.deliver(*(contact(key, region_code="VN") for key in PEOPLE))
        with made.db.transaction() as connection:
            defining.create_list(made.service, connection, "hand", "By hand")
        for id_, (rule, _) in RULES.items():
            made.define(id_, rule)
        yield made
    host.close()


class Stage:
    """Hold what the threads share."""

    def __init__(self, seg: World) -> None:
        self.seg = seg
        self.failed: list[BaseException] = []
        self.revisions = Counter[object]()
        self.lock = threading.Lock()

    def tell(self, draw: random.Random) -> None:
        """Let something happen to some contacts."""
        events = []
        for key in draw.sample(PEOPLE, draw.randrange(1, 5)):
            match draw.randrange(12):
                case 0:
                    events.append(merged(key, draw.choice([other for other in PEOPLE[:20] if other != key])))
                case 1:
                    events.append(erased(key))
                case 2 | 3 | 4:
                    with self.lock:
                        self.revisions[key] += 1
                        revision = 1 + self.revisions[key]
                    events.append(contact(key, revision=revision, region_code=draw.choice(["VN", "US"])))
                case _:
                    events.append(order(key, NOW - days(draw.uniform(-3, 12)), str(draw.randrange(1, 90))))
        # One merge or erasure at a time, as a circle of merges would be refused.
        gone = [item for item in events if item.type in ("contact.merged", "contact.erased")]
        rest = [item for item in events if item not in gone]
        self.seg.deliver(*rest, *gone[:1])

    def pass_time(self, draw: random.Random) -> None:
        """Let a while go by."""
        with self.lock:
            self.seg.clock.instant += days(draw.uniform(0, 0.2))
        upkeep.expire(self.seg.service)

    def change_list(self, draw: random.Random) -> None:
        """Put contacts into the list, or take them out."""
        keys = draw.sample(PEOPLE, 3)
        try:
            with self.seg.db.transaction() as connection:
                lists.change_members(
                    self.seg.service, connection, "hand", keys, entered=draw.random() < 0.6, historical=False
                )
        except FailedPrecondition as error:
            # Some may be gone.
            if error.reason != "UNKNOWN_CONTACTS":
                raise

    def rebuild(self, draw: random.Random) -> None:
        """Change a rule or not, and rebuild; now and then that is cancelled in the midst."""
        ids = draw.sample(sorted(RULES), draw.randrange(0, 3))
        with self.seg.db.transaction() as connection:
            for id_ in ids:
                if draw.random() < 0.6:
                    rule = draw.choice(RULES[id_])
                    defining.update_segment(self.seg.service, connection, id_, Change(rule=rule), "")
            name = rebuilding.start_rebuild(self.seg.service, connection, ids).name
        if not self.work(name, cancel_after=draw.uniform(0, 0.4) if draw.random() < 0.4 else None):
            # What it has not come to is said to be to do.
            with self.seg.db.transaction() as connection:
                name = rebuilding.start_rebuild(self.seg.service, connection, []).name
            assert self.work(name, cancel_after=None)

    def work(self, name: str, *, cancel_after: float | None) -> bool:
        """Do a rebuild as a worker does; returns whether it was not cancelled."""
        key = parse_name(name, "operations")
        with self.seg.db.transaction() as connection:
            claimed = store.claim(connection, kit, key)
        assert claimed is not None
        operation = OperationContext(self.seg.db, kit, claimed)
        timer = threading.Timer(cancel_after or 0, self.cancel, (key,))
        if cancel_after is not None:
            timer.start()
        outcome: pb.RebuildSegmentsResult | Status
        try:
            outcome = rebuilding.rebuild(self.seg.service, claimed_request(operation), operation)
        except Cancelled as error:
            outcome = Status(code=1, message=error.message)
        timer.cancel()
        with self.seg.db.transaction() as connection:
            store.finish(connection, kit, key, claimed.attempt, outcome, self.seg.clock.now())
        return not isinstance(outcome, Status)

    def cancel(self, key: UUID) -> None:
        """Ask for a stop, unless it is over."""
        with suppress(FailedPrecondition), self.seg.db.transaction() as connection:
            store.request_cancel(connection, kit, key)


def claimed_request(operation: OperationContext) -> pb.RebuildSegmentsRequest:
    assert isinstance(operation.request, pb.RebuildSegmentsRequest)
    return operation.request


def run(stage: Stage, action: Callable[[random.Random], None], seed: int, steps: int) -> threading.Thread:
    """Do something many times, in a thread; again what PostgreSQL could not do beside others."""
    draw = random.Random(seed)

    def repeat() -> None:
        try:
            for _ in range(steps):
                state = draw.getstate()
                while True:
                    try:
                        action(draw)
                        break
                    except sa.exc.DBAPIError as error:
                        if not is_transient(error):
                            raise
                        draw.setstate(state)
        except BaseException as error:
            stage.failed.append(error)

    thread = threading.Thread(target=repeat, name=f"{action.__name__} {seed}")
    thread.start()
    return thread


@pytest.mark.parametrize("seed", range(2))
def test_whatever_meets_whatever_the_end_is_what_the_rules_say(seg: World, seed: int) -> None:
    stage = Stage(seg)
    threads = [
        run(stage, stage.tell, 10 * seed, STEPS),
        run(stage, stage.tell, 10 * seed + 1, STEPS),
        run(stage, stage.change_list, 10 * seed + 2, STEPS),
        run(stage, stage.pass_time, 10 * seed + 3, STEPS),
        run(stage, stage.rebuild, 10 * seed + 4, STEPS // 5),
        run(stage, stage.rebuild, 10 * seed + 5, STEPS // 5),
    ]
    for thread in threads:
        thread.join()
    assert not stage.failed, stage.failed
    upkeep.retry_waiting(seg.service)
    upkeep.expire(seg.service)
    members = seg.everybody()
    assert members == from_scratch(seg).members
    assert seg.sizes() == {id_: len(found) for id_, found in members.items()}
    assert seg.query("SELECT count(*) FROM plugin_answer") == [0]
    _check_sums(seg)
    _check_told(seg, members)
    assert all(item.entered_count == item.left_count == 0 for item in seg.rebuild().segments)
