"""Traits with a Python form: asked in batches about everybody; one that fails or takes too long changes nothing."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from rapport.segmentation.v1 import segmentation_pb2 as pb

from services.kit.errors import Cancelled
from services.kit.plugins import PluginError, PluginHost, PluginTimeout, run_trait_batches
from services.kit.plugins.breaker import Breakers
from services.segmentation.usecases import plugin_changes, reading, traits
from tests.plugins.plugin_sources import write_plugin
from tests.support.postgres import DatabaseFactory
from tests.support.segmentation import (
    NOW,
    Progress,
    World,
    contact,
    contact_id,
    days,
    erased,
    order,
    page_visited_defined,
    visit,
    world,
)

PEOPLE = sorted(contact_id(number) for number in range(5))
FIRST, SECOND, THIRD, FOURTH, LAST = PEOPLE

SHOP = """
def spent(ctx, profiles):
    with open(BATCHES, "a") as notes:
        print(len(profiles), file=notes)
    assert not any(e.type != "order.placed" for p in profiles for e in p.history)
    for profile in profiles:
        if profile.region_code == "XX":
            raise RuntimeError("never heard of XX")
        if profile.region_code == "ZZ":
            time.sleep(600)
    return [
        {"shop_orders": len(p.history), "shop_spent": sum(int(e.amount) for e in p.history)} if p.history else None
        for p in profiles
    ]

def unasked(ctx, profiles):
    raise RuntimeError("SQL is there to be asked")

def wrong(ctx, profiles):
    return [{"shop_wrong": "three"} for _ in profiles]

@hookimpl
def rapport_traits():
    one = timedelta(hours=1)
    return [
        Trait("shop.spent", {"shop_orders": "int", "shop_spent": "double"}, compute=spent, events=("order.placed",),
              refresh=one, doc="what they bought"),
        Trait("shop.both", {"shop_both": "int"}, lambda ctx: {"shop_both": ctx.profile.c.order_count},
              compute=unasked, refresh=one, doc="orders"),
        Trait("shop.wrong", {"shop_wrong": "int"}, compute=wrong, refresh=one, doc="no number"),
    ]
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("plugins")


@pytest.fixture(scope="module")
def host(folder: Path) -> Iterator[PluginHost]:
    module = write_plugin(folder, SHOP.replace("BATCHES", repr(str(folder / "batches"))))
    breakers = Breakers(threshold=10**6)
    with PluginHost(
        ["shop"], modules={"shop": module}, paths=[str(folder)], breakers=breakers, deadline=3.0
    ) as made:
        yield made


@pytest.fixture
def seg(make_database: DatabaseFactory, host: PluginHost, monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    """The service with five contacts, who make three batches, of whom the first has bought and visited."""
    monkeypatch.setattr(traits, "PYTHON_BATCH", 2)
    with world(make_database.with_tables("segmentation"), plugins=host) as made:
        plugin_changes.notice_plugins(made.service)
        made.deliver(page_visited_defined(), *(contact(key) for key in PEOPLE))
        made.deliver(order(FIRST, NOW - days(1), "3"), order(FIRST, NOW, "4"), visit(FIRST, NOW))
        made.deliver(order(FIRST, NOW + days(1), "5"), order(LAST, NOW, "1"))
        yield made


def refresh(seg: World, name: str = "shop.spent", progress: Progress | None = None) -> int:
    request = pb.RefreshTraitsRequest(traits=[name])
    return traits.refresh(seg.service, request, progress or Progress()).changed_count


def values(seg: World) -> dict[Any, dict[str, Any]]:
    found = {key: reading.get_profile(seg.service, key).traits for key in PEOPLE}
    return {key: held for key, held in found.items() if held}


def message(seg: World, name: str = "shop.spent") -> str:
    """Return what is shown of the last refresh, beside each column of the trait."""
    columns = seg.service.catalog().traits[name].columns
    shown = {item.refresh_problem for item in reading.get_schema(seg.service).traits if item.name in columns}
    (found,) = shown
    return found


def staged(seg: World) -> int:
    (found,) = seg.query("SELECT count(*) FROM pg_class WHERE relname = 'fresh_trait'")
    return int(found)


KEPT = {
    FIRST: {"shop_orders": 2, "shop_spent": 7.0},
    LAST: {"shop_orders": 1, "shop_spent": 1.0},
}


def test_a_trait_that_failed_is_tried_again_before_it_is_due(seg: World) -> None:
    """After ten minutes, while one that worked waits for its hour."""
    seg.deliver(contact(FIRST, revision=2, region_code="XX"))
    assert traits.refresh_due(seg.service) == 3
    assert "never heard of XX" in message(seg)
    seg.deliver(contact(FIRST, revision=3, region_code="VN"))
    seg.clock.instant = NOW + timedelta(minutes=9)
    assert traits.refresh_due(seg.service) == 0
    seg.clock.instant = NOW + timedelta(minutes=10)
    assert traits.refresh_due(seg.service) == 2
    assert message(seg) == ""
    assert {key: held["shop_orders"] for key, held in values(seg).items() if "shop_orders" in held} == {
        FIRST: 2,
        LAST: 1,
    }


def test_values_of_python_reach_profiles_and_segments(seg: World, folder: Path) -> None:
    """In batches by contact id; only what differs is written, only declared events of up to now are shown."""
    seg.define("buyers", "contact.traits.shop_spent > 2.0")
    seg.define("more", 'in_segment("segments/buyers") || contact.traits.shop_orders == 1')
    (folder / "batches").unlink(missing_ok=True)
    progress = Progress()
    assert refresh(seg, progress=progress) == 2
    assert (folder / "batches").read_text().split() == ["2", "2", "1"]
    assert values(seg) == KEPT
    assert seg.everybody() == {"buyers": {FIRST}, "more": {FIRST, LAST}}
    stages = [stage for _, _, stage in progress.stages]
    assert stages == ["computing shop.spent"] * 3 + ["applying shop.spent", "computed shop.spent"]
    assert refresh(seg) == 0
    seg.deliver(order(THIRD, NOW, "9"))
    seg.clock.instant = NOW + days(1)
    assert refresh(seg) == 2
    assert seg.everybody() == {"buyers": {FIRST, THIRD}, "more": {FIRST, THIRD, LAST}}
    assert values(seg)[FIRST] == {"shop_orders": 3, "shop_spent": 12.0}
    assert staged(seg) == 0


@pytest.mark.parametrize(
    ("region", "problem"), [("XX", "never heard of XX"), ("ZZ", "did not answer within 3 s")]
)
def test_one_that_fails_in_the_midst_keeps_all_last_values(seg: World, region: str, problem: str) -> None:
    """Also those of contacts in batches before it; it says so, and works again once the cause is gone."""
    seg.define("buyers", "contact.traits.shop_spent > 2.0")
    refresh(seg)
    seg.deliver(order(SECOND, NOW, "100"), contact(LAST, revision=2, region_code=region))
    with pytest.raises(PluginError, match=problem):
        refresh(seg)
    assert values(seg) == KEPT
    assert seg.members("buyers") == {FIRST}
    assert problem in message(seg)
    assert staged(seg) == 0
    seg.deliver(contact(LAST, revision=3, region_code="VN"))
    assert refresh(seg) == 1
    assert message(seg) == ""
    assert seg.members("buyers") == {FIRST, SECOND}


def test_one_that_fails_stops_no_other_when_they_are_due(seg: World) -> None:
    """It is tried again at its next turn."""
    seg.deliver(contact(FIRST, revision=2, region_code="XX"))
    assert traits.refresh_due(seg.service) == 3
    assert {key: held["shop_both"] for key, held in values(seg).items()} == {
        key: {FIRST: 3, LAST: 1}.get(key, 0) for key in PEOPLE
    }
    assert "never heard of XX" in message(seg)
    assert "shop_wrong: 'three' is a str, not a int" in message(seg, "shop.wrong")
    assert message(seg, "shop.both") == ""
    assert traits.refresh_due(seg.service) == 0
    seg.deliver(contact(FIRST, revision=3, region_code="VN"))
    seg.clock.instant += timedelta(hours=1)
    assert traits.refresh_due(seg.service) == 3
    assert message(seg) == ""
    assert values(seg)[LAST] == {"shop_both": 1, "shop_orders": 1, "shop_spent": 1.0}


def test_with_both_forms_sql_is_what_runs(seg: World) -> None:
    """The Python form of this one raises."""
    assert refresh(seg, "shop.both") == 5


def test_a_refresh_is_cancelled_between_batches(seg: World) -> None:
    """Nothing is stored before all values are there."""
    progress = Progress(stop_before=2)
    with pytest.raises(Cancelled):
        refresh(seg, progress=progress)
    assert [stage for _, _, stage in progress.stages] == ["computing shop.spent"] * 2
    assert values(seg) == {}
    assert staged(seg) == 0
    assert refresh(seg) == 2


def test_contacts_that_come_and_go_meanwhile(seg: World) -> None:
    """Who is erased stays so, whether asked about already or not; who comes is there the next time."""
    (record,) = [item for item in seg.service.catalog().traits.values() if item.name == "shop.spent"]
    late = contact_id(77)
    seen: list[str] = []

    def between(stage: str, changed: int) -> None:
        if not seen:
            seg.deliver(erased(FIRST), erased(LAST), contact(late), order(late, NOW, "8"))
        seen.append(stage)

    traits.refresh_trait(seg.service, record, between)
    assert seen.count("computing") >= 2
    assert seg.query("SELECT count(*) FROM profile WHERE contact_id = :key", key=FIRST) == [0]
    assert seg.query("SELECT count(*) FROM profile WHERE contact_id = :key", key=LAST) == [0]
    traits.refresh_trait(seg.service, record)
    assert reading.get_profile(seg.service, late).traits == {"shop_orders": 1, "shop_spent": 8.0}


def test_all_batches_together_have_a_limit_of_time(seg: World, host: PluginHost) -> None:
    """Each batch may keep to the host's, and the refresh still come to an end."""
    record = host.catalog().traits["shop.spent"]
    asked = run_trait_batches(seg.db.engine, host, record, now=NOW, timeout=0.0)
    with pytest.raises(PluginTimeout, match="took longer than 0 s for all contacts"):
        list(asked)
