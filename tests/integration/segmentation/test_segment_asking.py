"""Plugins asked before a rebuild takes its lock: contacts go on changing, and no answer is about what they were."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from datetime import datetime
from typing import Any
from uuid import UUID

import pytest
import sqlalchemy as sa

from services.kit.db import make_engine
from services.kit.errors import Cancelled, FailedPrecondition
from services.kit.operations import OperationPaused
from services.kit.plugins import Answer, PluginHost
from services.kit.plugins.breaker import Breakers
from services.segmentation.store import sweeps
from services.segmentation.usecases import asking, plugin_changes, rebuilding
from tests.integration.segmentation.test_segment_stopping import Run, change, rebuild, state
from tests.plugins.plugin_sources import write_plugin
from tests.support.postgres import DatabaseFactory
from tests.support.segmentation import NOW, World, contact, contact_id, days, erased, order, world
from tests.support.segmentation_scratch import from_scratch, next_changes
from tests.support.waiting import until

PEOPLE = sorted(contact_id(number) for number in range(8))
RULE = "shop.recent(contact) >= 2 && contact.region_code == 'VN'"

SHOP = """
def recent(ctx, params, profiles):
    since = timedelta(days=7)
    found = []
    for profile in profiles:
        if profile.locality == "nowhere":
            raise RuntimeError("no such place")
        times = [e.occurred_at for e in profile.events("order.placed") if e.occurred_at > ctx.now - since]
        found.append(Timed(len(times), min(times) + since if times else None))
    return found

@hookimpl
def rapport_segment_rules():
    return [SegmentRule("shop.recent", "int", matches=recent, events=("order.placed",), doc="orders of a week")]
"""


@pytest.fixture(scope="module")
def host(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PluginHost]:
    folder = tmp_path_factory.mktemp("plugins")
    made = PluginHost(
        ["shop"],
        modules={"shop": write_plugin(folder, SHOP)},
        paths=[str(folder)],
        breakers=Breakers(threshold=10**6),
    )
    yield made
    made.close()


@pytest.fixture
def seg(make_database: DatabaseFactory, host: PluginHost) -> Iterator[World]:
    """People with two orders of the last week each, one of them abroad, and a segment that was never built."""
    with world(make_database.with_tables("segmentation"), plugins=host) as made:
        plugin_changes.notice_plugins(made.service)
        made.deliver(*(contact(key, region_code="US" if key == PEOPLE[7] else "VN") for key in PEOPLE))
        made.deliver(*(order(key, NOW - days(at)) for key in PEOPLE for at in (1, 2)))
        made.define("regulars", RULE, build=False)
        yield made


class Plugin:
    """Stand before the plugin: note whom a rebuild asks about, and let it wait from some call on."""

    def __init__(self, host: PluginHost) -> None:
        self._matches = host.matches
        self.asked: list[list[UUID]] = []
        self.wait_at: int | None = None
        self.go = threading.Event()
        self.before: Callable[[int], None] = lambda number: None

    def matches(self, name: str, params: Any, profiles: Any, now: datetime) -> list[Answer]:
        if threading.current_thread().name == "operation-call":
            number = len(self.asked)
            self.asked.append([profile.contact_id for profile in profiles])
            self.before(number)
            if number == self.wait_at:
                assert self.go.wait(120)
        return self._matches(name, params, profiles, now)


@pytest.fixture
def plugin(host: PluginHost, monkeypatch: pytest.MonkeyPatch) -> Plugin:
    made = Plugin(host)
    monkeypatch.setattr(host, "matches", made.matches)
    monkeypatch.setattr(asking, "PYTHON_BATCH", 2)
    monkeypatch.setattr(asking, "FEW", 0)
    return made


def ended(run: Run) -> None:
    assert run.end() == [], run.raised


def is_right(seg: World, region: str = "VN") -> None:
    """Check members, and that nobody of a region, whom the rule leaves open without the plugin, is due too late."""
    scratch = from_scratch(seg)
    assert seg.everybody() == scratch.members
    due = next_changes(seg)
    for key in seg.query("SELECT contact_id FROM profile WHERE region_code = :region", region=region):
        wanted, found = scratch.next_changes.get(key), due[key]
        assert wanted is None or (found is not None and found <= wanted)


def answers(seg: World) -> list[int]:
    return seg.query("SELECT count(*) FROM plugin_answer")


def test_contacts_change_while_plugins_are_asked_and_are_asked_again(seg: World, plugin: Plugin) -> None:
    """Those asked already, those being asked, those not asked yet; of the others nothing is asked twice."""
    plugin.wait_at = 1
    run = rebuild(seg, "regulars")
    until(lambda: len(plugin.asked) == 2, "the second batch is asked")
    assert run.stage == "segments/regulars: asking shop.recent"
    # Nobody waits for the plugin. The first three have a third order in place of one that is too old by now.
    for key in (PEOPLE[0], PEOPLE[2], PEOPLE[5]):
        seg.deliver(contact(key, revision=2, region_code="VN", locality="Huế"))
    seg.deliver(contact(PEOPLE[7], revision=2, region_code="VN"), erased(PEOPLE[3]))
    seg.deliver(*(order(key, NOW - days(3)) for key in (PEOPLE[0], PEOPLE[5])))
    plugin.go.set()
    ended(run)
    assert seg.members("regulars") == {key for key in PEOPLE if key != PEOPLE[3]}
    assert answers(seg) == [0]
    asked = [key for some in plugin.asked for key in some]
    often = {key: asked.count(key) for key in PEOPLE}
    # The sixth had not been asked when it changed, and the last one was not to be asked then.
    assert often == {
        PEOPLE[0]: 2, PEOPLE[1]: 1, PEOPLE[2]: 2, PEOPLE[3]: 1,
        PEOPLE[4]: 1, PEOPLE[5]: 1, PEOPLE[6]: 1, PEOPLE[7]: 1,
    }  # fmt: skip
    is_right(seg)


def test_the_profile_that_was_shown_and_is_another_one_by_now_gets_no_answer(
    seg: World, plugin: Plugin
) -> None:
    """An order that comes while its contact is asked about counts."""
    lonely = contact_id(50)
    seg.deliver(contact(lonely, region_code="VN"), order(lonely, NOW - days(1)))
    change(seg, "regulars", "shop.recent(contact) == 1 && contact.region_code == 'VN'")

    def before(number: int) -> None:
        if lonely in plugin.asked[number]:
            plugin.before = lambda number: None
            seg.deliver(order(lonely, NOW - days(2)))

    plugin.before = before
    ended(rebuild(seg, "regulars"))
    assert seg.members("regulars") == set()
    assert sum(lonely in some for some in plugin.asked) == 2
    is_right(seg)


def test_answers_that_time_changes_are_asked_for_again(seg: World, plugin: Plugin) -> None:
    """Before the rebuild: nobody enters who would leave at once."""

    def before(number: int) -> None:
        if number == 3:
            seg.clock.instant = NOW + days(5.5)

    plugin.before = before
    ended(rebuild(seg, "regulars"))
    # Of two orders of everybody the older one is more than a week old by now.
    assert seg.members("regulars") == set()
    assert seg.told() == []
    assert {key for some in plugin.asked[4:] for key in some} == set(PEOPLE[:7])
    is_right(seg)


def test_a_rebuild_that_goes_on_elsewhere_asks_only_what_is_missing(seg: World, plugin: Plugin) -> None:
    plugin.wait_at = 2
    run = rebuild(seg, "regulars")
    until(lambda: len(plugin.asked) == 3, "the third batch is asked")
    run.stopping.set()
    assert run.end() == [OperationPaused]
    plugin.go.set()
    assert answers(seg) == [7]
    # It is under way, and not abandoned.
    rebuilding.drop_abandoned(seg.service)
    assert answers(seg) == [7]
    first, plugin.asked[:], plugin.wait_at = plugin.asked[:2], [], None
    again = Run(
        seg,
        lambda world, request, it: rebuilding.rebuild(world.service, request, it),
        f"operations/{run.key}",
    )
    ended(again)
    assert seg.members("regulars") == set(PEOPLE[:7])
    asked = [key for some in (*first, *plugin.asked) for key in some]
    assert sorted(asked) == PEOPLE[:7]
    is_right(seg)


def test_nothing_is_left_of_what_was_asked_in_vain(seg: World, plugin: Plugin) -> None:
    """Of a rebuild that failed, was cancelled, or that nobody does any more."""
    seg.deliver(contact(PEOPLE[6], revision=2, region_code="VN", locality="nowhere"))
    run = rebuild(seg, "regulars")
    assert run.end() == [FailedPrecondition]
    assert "no such place" in state(seg, "regulars")[1]
    assert (seg.members("regulars"), answers(seg)) == (set(), [0])
    seg.deliver(contact(PEOPLE[6], revision=3, region_code="VN"))
    plugin.wait_at = len(plugin.asked) + 1
    run = rebuild(seg, "regulars")
    until(lambda: len(plugin.asked) == plugin.wait_at + 1, "the second batch is asked")  # type: ignore[operator]
    run.cancel()
    assert run.end() == [Cancelled]
    plugin.go.set()
    assert answers(seg) == [0]
    seg.deliver(order(PEOPLE[0], NOW))
    with seg.db.transaction() as connection:
        connection.execute(
            sa.text("INSERT INTO plugin_answer SELECT :key, number, 0, '', true FROM segment"),
            {"key": PEOPLE[0]},
        )
        connection.execute(sa.text("UPDATE operation SET done = true"))
    rebuilding.drop_abandoned(seg.service)
    assert answers(seg) == [0]


def test_another_version_of_the_rule_takes_no_answer_to_the_one_before(seg: World, plugin: Plugin) -> None:
    plugin.wait_at = 2
    run = rebuild(seg, "regulars")
    until(lambda: len(plugin.asked) == 3, "the third batch is asked")
    change(seg, "regulars", "shop.recent(contact) >= 2 && contact.region_code == 'US'")
    plugin.go.set()
    ended(run)
    assert seg.members("regulars") == {PEOPLE[7]}
    is_right(seg, "US")


def test_many_slices_and_two_calls(seg: World, plugin: Plugin, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {"START": 3, "FEWEST": 3, "FASTER": 1, "SLOWER": 1}.items():
        monkeypatch.setattr(sweeps, name, value)
    change(
        seg,
        "regulars",
        "(contact.region_code == 'US' || shop.recent(contact) >= 2) && !(shop.recent(contact) > 5)",
    )
    ended(rebuild(seg, "regulars"))
    assert seg.members("regulars") == set(PEOPLE)
    is_right(seg)


def test_beside_a_process_of_an_older_release_plugins_are_asked_under_the_lock(
    seg: World, plugin: Plugin
) -> None:
    """It would change contacts and leave their answers."""
    owned: list[bool] = []
    lock = (
        "SELECT count(*) FROM pg_locks l JOIN pg_database d ON d.oid = l.database WHERE l.locktype = 'advisory' "
        "AND l.mode = 'ExclusiveLock' AND l.granted AND d.datname = current_database()"
    )
    plugin.before = lambda number: owned.append(seg.query(lock) != [0])
    url = str(seg.db.engine.url.render_as_string(hide_password=False))
    older = make_engine(url, application_name="rapport-segmentation-worker 0009")
    with older.connect():
        ended(rebuild(seg, "regulars"))
    older.dispose()
    assert owned == [True] * len(plugin.asked) != []
    assert seg.members("regulars") == set(PEOPLE[:7])
    owned.clear()
    change(seg, "regulars", f"{RULE} && true")
    ended(rebuild(seg, "regulars"))
    assert owned == [False] * len(owned) != []
    is_right(seg)
