"""Segments come back by themselves when the plugins that their rules call answer again."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from datetime import timedelta

import pytest
from rapport.segmentation.v1 import segmentation_pb2 as pb

from services.kit.errors import Cancelled, FailedPrecondition
from services.kit.plugins import PluginHost
from services.kit.plugins.breaker import Breakers
from services.segmentation.rulebook import Rulebook
from services.segmentation.usecases import defining, plugin_changes, previewing, upkeep
from tests.plugins.plugin_sources import write_plugin
from tests.support.postgres import DatabaseFactory
from tests.support.segmentation import NOW, Progress, World, contact, contact_id, days, world

KEY, OTHER, THIRD = contact_id(1), contact_id(2), contact_id(3)

SHOP = """
def letters(ctx, params, profiles):
    if any(profile.region_code == "XX" for profile in profiles):
        raise RuntimeError("never heard of XX")
    return [None if profile.region_code is None else len(profile.region_code) for profile in profiles]

@hookimpl
def rapport_segment_rules():
    return [SegmentRule(name="shop.letters", returns="RETURNS", matches=letters, doc="letters")]
"""


@pytest.fixture(scope="module")
def hosts(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, PluginHost]]:
    """Plugin hosts: with the shop's plugin, with one whose rule answers texts, and with none."""
    folder = tmp_path_factory.mktemp("plugins")
    made = {}
    for name, returns in (("old", "int"), ("texts", "string")):
        module = write_plugin(folder, SHOP.replace("RETURNS", returns))
        # The breaker has tests of its own; here a plugin that works again works at once.
        breakers = Breakers(threshold=10**6)
        made[name] = PluginHost(["shop"], modules={"shop": module}, paths=[str(folder)], breakers=breakers)
    made["none"] = PluginHost(["nothing"])
    yield made
    for host in made.values():
        host.close()


@pytest.fixture
def seg(make_database: DatabaseFactory, hosts: dict[str, PluginHost]) -> Iterator[World]:
    """The service with the shop's plugin."""
    with world(make_database.with_tables("segmentation"), plugins=hosts["old"]) as made:
        plugin_changes.notice_plugins(made.service)
        yield made


def with_host(seg: World, host: PluginHost) -> World:
    """Return the service as a process with other plugins sees it, after it has noticed."""
    service = dataclasses.replace(seg.service, plugins=host, book=Rulebook("UTC"))
    plugin_changes.notice_plugins(service)
    return World(service, seg.clock)


def state(seg: World, id_: str) -> tuple[str, str, str, bool]:
    with seg.db.read() as connection:
        found = defining.load(connection, id_)
    return found.state, found.state_message, found.stalled, found.gone


def started(seg: World) -> list[list[str]]:
    """Return the segments of each rebuild that was asked for, in order."""
    requests = seg.query("SELECT request FROM operation WHERE kind = 'rebuild_segments' ORDER BY id")
    return [list(pb.RebuildSegmentsRequest.FromString(item).names) for item in requests]


def fail(seg: World, id_: str) -> None:
    with pytest.raises(FailedPrecondition, match=id_):
        seg.rebuild(id_)


def test_a_rebuild_that_failed_for_a_plugin_is_done_once_it_answers_again(seg: World) -> None:
    """Also when the newest rule never was in force; everybody gets the answer that the plugin gives now."""
    seg.deliver(contact(KEY, region_code="VN"), contact(OTHER, region_code="VNM"))
    seg.define("plugged", "shop.letters(contact) == 2")
    seg.deliver(contact(THIRD, region_code="XX"))
    with seg.db.transaction() as connection:
        defining.update_segment(
            seg.service, connection, "plugged", defining.Change(rule="shop.letters(contact) == 3"), ""
        )
    fail(seg, "plugged")
    now, message, stalled, _ = state(seg, "plugged")
    assert (now, seg.members("plugged")) == ("failed", {KEY})
    assert "never heard of XX" in message
    assert "the rebuild is tried again by itself at 2026-03-01T12:00:30Z" in message
    assert "never heard of XX" in stalled
    before = started(seg)
    assert plugin_changes.retry_failed(seg.service) == 0
    with seg.db.transaction() as connection:
        connection.exec_driver_sql("UPDATE profile SET region_code = 'VN' WHERE region_code = 'XX'")
    seg.clock.instant = NOW + timedelta(seconds=30)
    assert plugin_changes.retry_failed(seg.service) == 1
    assert started(seg) == [*before, ["segments/plugged"]]
    assert state(seg, "plugged")[0] == "building"
    # It is asked for once.
    assert plugin_changes.retry_failed(seg.service) == 0
    seg.rebuild("plugged")
    assert upkeep.retry_waiting(seg.service) == 1
    assert (seg.members("plugged"), state(seg, "plugged")) == ({OTHER}, ("ready", "", "", False))
    seg.clock.instant = NOW + days(1)
    assert plugin_changes.retry_failed(seg.service) == 0
    assert seg.query("SELECT failing_since FROM segment") == [None]


def test_a_rebuild_that_goes_on_failing_is_tried_less_often_and_at_each_start(seg: World) -> None:
    """After as long as it has failed, ten minutes at most."""
    seg.deliver(contact(KEY, region_code="XX"))
    seg.define("plugged", "shop.letters(contact) == 2", build=False)
    waits = []
    for _ in range(8):
        fail(seg, "plugged")
        (due,) = seg.query("SELECT retry_time FROM segment")
        waits.append((due - seg.clock.instant).total_seconds())
        seg.clock.instant = due
        assert plugin_changes.retry_failed(seg.service) == 1
    assert waits == [30, 30, 60, 120, 240, 480, 600, 600]
    fail(seg, "plugged")
    before = started(seg)
    plugin_changes.notice_plugins(seg.service)
    assert started(seg) == [*before, ["segments/plugged"]]


def test_what_no_plugin_let_fail_is_not_tried_again(seg: World) -> None:
    """Nor what somebody cancelled meanwhile, nor what has another rule."""
    seg.deliver(contact(KEY, region_code="XX"))
    seg.define("plugged", "shop.letters(contact) == 2", build=False)
    fail(seg, "plugged")
    with pytest.raises(Cancelled):
        seg.rebuild("plugged", progress=Progress(stop_before=0))
    assert "cancelled" in state(seg, "plugged")[1]
    seg.clock.instant = NOW + days(1)
    assert plugin_changes.retry_failed(seg.service) == 0
    fail(seg, "plugged")
    with seg.db.transaction() as connection:
        defining.update_segment(
            seg.service, connection, "plugged", defining.Change(rule="contact.has_email"), ""
        )
    seg.clock.instant = NOW + days(2)
    assert plugin_changes.retry_failed(seg.service) == 0


def test_a_plugin_that_went_before_the_first_rebuild_is_waited_for(
    seg: World, hosts: dict[str, PluginHost]
) -> None:
    """No rebuild is tried while it is missing; the first one follows when it is back."""
    seg.deliver(contact(KEY, region_code="VN"))
    seg.define("plugged", "shop.letters(contact) == 2", build=False)
    without = with_host(seg, hosts["none"])
    fail(without, "plugged")
    before = started(seg)
    seg.clock.instant = NOW + days(1)
    assert plugin_changes.retry_failed(without.service) == 0
    back = with_host(seg, hosts["old"])
    assert started(seg) == [*before, ["segments/plugged"]]
    back.rebuild("plugged")
    assert (back.members("plugged"), state(back, "plugged")) == ({KEY}, ("ready", "", "", False))


def test_a_rule_that_its_plugin_no_longer_fits_says_so_until_it_does_again(
    seg: World, hosts: dict[str, PluginHost]
) -> None:
    """It keeps its members, no question about it is a fault of the server, and it is rebuilt by itself."""
    seg.deliver(contact(KEY, region_code="VN"))
    seg.define("plugged", "shop.letters(contact) == 2")
    texts = with_host(seg, hosts["texts"])
    assert "cannot be compiled any more" in state(texts, "plugged")[2]
    with pytest.raises(FailedPrecondition, match="segments/plugged cannot be compiled any more") as caught:
        previewing.evaluate_rule(texts.service, segment="plugged")
    assert caught.value.reason == "BROKEN_RULE"
    assert texts.members("plugged") == {KEY}
    before = started(seg)
    back = with_host(seg, hosts["old"])
    assert started(seg) == [*before, ["segments/plugged"]]
    back.rebuild("plugged")
    assert state(back, "plugged") == ("ready", "", "", False)
