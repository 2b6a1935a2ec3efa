"""Rebuilds and snapshots that are stopped wherever they are: soon, and with the members as they were."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from rapport.segmentation.v1 import segmentation_pb2 as pb

from services.kit.errors import Cancelled
from services.kit.names import parse_name
from services.kit.operations import OperationContext, OperationPaused, store
from services.kit.plugins import PluginHost
from services.segmentation.models import kit
from services.segmentation.store import locks
from services.segmentation.usecases import defining, plugin_changes, rebuilding, snapshots
from services.segmentation.usecases.defining import Change
from tests.integration.segmentation.test_segment_slow import CUBIC, ORDERS
from tests.plugins.plugin_sources import write_plugin
from tests.support.postgres import DatabaseFactory
from tests.support.segmentation import NOW, World, contact, contact_id, order, world
from tests.support.segmentation_scratch import agrees_with_scratch
from tests.support.waiting import until

BUSY, OTHER = contact_id(1), contact_id(2)

SHOP = """
def waits(ctx, params, profiles):
    if profiles:
        time.sleep(params["seconds"])
    return [True for _ in profiles]

def counts(ctx, params):
    many = func.generate_series(1, 4_000_000_000 * params["seconds"]).alias()
    return select(func.count() > 0).select_from(many).scalar_subquery()

@hookimpl
def rapport_segment_rules():
    seconds = (Parameter("seconds", "int"),)
    return [
        SegmentRule("shop.waits", "bool", matches=waits, parameters=seconds, doc="true, after a while"),
        SegmentRule("shop.counts", "bool", value=counts, parameters=seconds, doc="true, when it has counted"),
    ]
"""


@pytest.fixture(scope="module")
def host(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PluginHost]:
    folder = tmp_path_factory.mktemp("plugins")
    made = PluginHost(
        ["shop"],
        modules={"shop": write_plugin(folder, SHOP)},
        paths=[str(folder)],
        processes=2,
        deadline=30.0,
    )
    yield made
    made.close()


@pytest.fixture
def seg(make_database: DatabaseFactory, host: PluginHost) -> Iterator[World]:
    """Two segments, of which one contact has so many orders that a bad rule takes for ever about it."""
    with world(make_database.with_tables("segmentation"), plugins=host) as made:
        plugin_changes.notice_plugins(made.service)
        made.deliver(contact(BUSY, region_code="VN"), contact(OTHER, region_code="US"))
        made.deliver(*(order(BUSY, NOW, category=f"c{number:03}") for number in range(ORDERS)))
        made.define("first", 'contact.region_code == "VN"')
        made.define("second", 'in_segment("segments/first")')
        yield made


class Run:
    """An operation that is done beside the test."""

    def __init__(self, seg: World, work: Callable[[World, Any, Any], object], name: str) -> None:
        self.seg = seg
        self.key = parse_name(name, "operations")
        self.stopping = threading.Event()
        with seg.db.transaction() as connection:
            claimed = store.claim(connection, kit, self.key)
        assert claimed is not None
        self.operation = OperationContext(seg.db, kit, claimed, self.stopping.is_set)
        self.raised: list[BaseException] = []
        self._thread = threading.Thread(target=self._run, args=(work,))
        self._thread.start()

    def _run(self, work: Callable[[World, Any, Any], object]) -> None:
        try:
            work(self.seg, self.operation.request, self.operation)
        except BaseException as error:
            self.raised.append(error)

    @property
    def stage(self) -> str:
        with self.seg.db.read() as connection:
            return store.load(connection, kit, self.key).progress.stage

    def cancel(self) -> None:
        with self.seg.db.transaction() as connection:
            store.request_cancel(connection, kit, self.key)

    def end(self) -> list[type[BaseException]]:
        """Wait for its end; returns what it raised."""
        self._thread.join(120)
        assert not self._thread.is_alive()
        return [type(error) for error in self.raised]


def rebuild(seg: World, *ids: str) -> Run:
    with seg.db.transaction() as connection:
        name = rebuilding.start_rebuild(seg.service, connection, ids).name
    return Run(seg, lambda world, request, it: rebuilding.rebuild(world.service, request, it), name)


def change(seg: World, id_: str, rule: str) -> None:
    with seg.db.transaction() as connection:
        defining.update_segment(seg.service, connection, id_, Change(rule=rule), "")


def state(seg: World, id_: str) -> tuple[str, str]:
    with seg.db.read() as connection:
        found = defining.load(connection, id_)
    return found.state, found.state_message


def at_work(seg: World, words: str) -> bool:
    """Tell whether the server is at work on a statement with these words."""
    sql = (
        "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND state = 'active' "
        "AND pid <> pg_backend_pid() AND strpos(query, :words) > 0"
    )
    return seg.query(sql, words=words) != [0]


@contextmanager
def unchanged(seg: World) -> Iterator[None]:
    """Check that members and what was told stay as they are, and that others can go on afterwards."""
    before = seg.everybody(), seg.told(), seg.sizes()
    yield
    assert (seg.everybody(), seg.told(), seg.sizes()) == before
    held = "SELECT count(*) FROM pg_locks l JOIN pg_database d ON d.oid = l.database WHERE l.locktype = 'advisory'"
    assert seg.query(f"{held} AND d.datname = current_database()") == [0]
    seg.deliver(contact(OTHER, revision=2, region_code="VN"))
    assert seg.members("first") == {BUSY, OTHER}


WHERE: dict[str, tuple[str, str]] = {
    "looking who differs": (CUBIC, "INSERT INTO membership_change"),
    "looking of whom a plugin must be asked": (
        f"shop.waits(contact, 0) && {CUBIC}",
        "INSERT INTO plugin_answer",
    ),
    "asking SQL of a plugin": ("shop.counts(contact, 100)", "FETCH FORWARD"),
}


@pytest.mark.parametrize("where", WHERE)
def test_a_rebuild_stops_in_the_midst_of_a_statement(seg: World, where: str) -> None:
    """Its segment follows the rule before, and says so."""
    rule, words = WHERE[where]
    change(seg, "first", rule)
    with unchanged(seg):
        run = rebuild(seg, "first")
        until(lambda: at_work(seg, words), where)
        assert run.stage.startswith("segments/first: ")
        run.cancel()
        assert run.end() == [Cancelled]
        assert not at_work(seg, words)
        assert state(seg, "first") == (
            "failed",
            "its rebuild was cancelled before it came to an end: rebuild it",
        )


def test_a_rebuild_stops_while_python_of_a_plugin_is_asked(seg: World) -> None:
    """Nobody waits for its answer."""
    change(seg, "first", "shop.waits(contact, 20)")
    with unchanged(seg):
        run = rebuild(seg, "first")
        until(lambda: run.stage == "segments/first: asking shop.waits", "the plugin is asked")
        run.cancel()
        assert run.end() == [Cancelled]
    assert state(seg, "first")[0] == "failed"


def test_a_rebuild_stops_while_it_waits_for_the_lock(seg: World) -> None:
    with unchanged(seg):
        with seg.db.transaction() as connection:
            locks.share_membership(connection)
            run = rebuild(seg, "first")
            until(lambda: at_work(seg, "SELECT pg_advisory_xact_lock("), "the rebuild waits")
            assert run.stage == "segments/first: waiting until no contact is being changed"
            run.cancel()
            assert run.end() == [Cancelled]
        # Nothing was to change: the segment is as right as before.
        assert state(seg, "first") == ("ready", "")


def test_a_pass_over_many_stops(seg: World) -> None:
    seg.define("slow", f'contact.region_code == "FR" && {CUBIC}')
    with seg.db.transaction() as connection:
        connection.exec_driver_sql(
            "UPDATE profile SET region_code = 'FR' WHERE contact_id = %(key)s", {"key": BUSY}
        )
    with unchanged(seg):
        run = rebuild(seg)
        until(lambda: at_work(seg, "INSERT INTO differing"), "the pass is at work")
        assert run.stage == "3 segments in one pass: looking who differs"
        run.cancel()
        assert run.end() == [Cancelled]
        assert not at_work(seg, "INSERT INTO differing")
        assert {state(seg, id_) for id_ in ("first", "second", "slow")} == {("ready", "")}
        with seg.db.transaction() as connection:
            connection.exec_driver_sql("UPDATE profile SET region_code = 'VN'")


def test_a_rebuild_pauses_as_its_process_stops_and_goes_on_elsewhere(seg: World) -> None:
    """In the midst of a statement, too; what was done before is not done again."""
    seg.define("before", "true", build=False)
    change(seg, "first", 'contact.region_code == "US" && shop.waits(contact, 20)')
    run = rebuild(seg, "before", "first")
    until(lambda: run.stage == "segments/first: asking shop.waits", "the plugin is asked")
    run.stopping.set()
    assert run.end() == [OperationPaused]
    assert seg.everybody() == {"first": {BUSY}, "second": {BUSY}, "before": {BUSY, OTHER}}
    assert state(seg, "first") == ("building", "")
    told = len(seg.told())
    change(seg, "first", 'contact.region_code == "US"')
    again = Run(
        seg,
        lambda world, request, it: rebuilding.rebuild(world.service, request, it),
        f"operations/{run.key}",
    )
    assert again.operation.resumed
    assert again.end() == []
    assert seg.everybody() == {"first": {OTHER}, "second": {OTHER}, "before": {BUSY, OTHER}}
    assert {item[1] for item in seg.told()[told:]} == {"first", "second"}
    agrees_with_scratch(seg)


def test_a_snapshot_stops_and_its_list_says_so(seg: World) -> None:
    request = pb.SnapshotSegmentRequest(segment_id="then", rule=CUBIC)
    with seg.db.transaction() as connection:
        _, made = snapshots.request_snapshot(seg.service, connection, request)
    with unchanged(seg):
        run = Run(seg, lambda world, given, it: snapshots.take_snapshot(world.service, given, it), made.name)
        until(lambda: at_work(seg, "INSERT INTO membership_change"), "the snapshot is at work")
        assert run.stage == "segments/then: taking"
        run.cancel()
        assert run.end() == [Cancelled]
        assert state(seg, "then") == (
            "failed",
            "it was cancelled: delete the list, and take the snapshot again",
        )
