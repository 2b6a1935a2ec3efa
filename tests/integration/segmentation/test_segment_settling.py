"""Many segments rebuilt in one pass: whatever went astray is put right, and told, once."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any
from uuid import UUID

import pytest
import sqlalchemy as sa
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from services.segmentation.store import differing, sweeps
from services.segmentation.usecases import defining, settling
from services.segmentation.usecases.defining import Change
from tests.support.postgres import DatabaseFactory
from tests.support.segmentation import (
    DEMO_RULES,
    NOW,
    Progress,
    World,
    contact,
    contact_id,
    days,
    order,
    page_visited_defined,
    visit,
    world,
)

PEOPLE = [contact_id(number) for number in range(12)]
RULES = {
    **DEMO_RULES,
    "either": 'in_segment("segments/lapsed") || in_segment("segments/newcomers")',
    "neither": '!in_segment("segments/either")',
}


@pytest.fixture(scope="module")
def seg(make_module_database: DatabaseFactory) -> Iterator[World]:
    """People with orders and visits, and segments that name each other."""
    with world(make_module_database.with_tables("segmentation")) as made:
        made.deliver(page_visited_defined(), *(contact(key) for key in PEOPLE))
        for number, key in enumerate(PEOPLE):
            made.deliver(
                *(order(key, NOW - days(11 * number + 17 * at)) for at in range(number % 7)),
                *(visit(key, NOW - days(3 * at + number)) for at in range(number % 5)),
            )
        for id_, rule in RULES.items():
            made.define(id_, rule)
        yield made


def changes(seg: World) -> dict[Any, Any]:
    with seg.db.read() as connection:
        return dict(connection.execute(sa.text("SELECT contact_id, next_change FROM contact_state")).all())  # type: ignore[arg-type]


TAMPERING = st.lists(
    st.tuples(st.sampled_from(sorted(RULES)), st.sampled_from(PEOPLE)), max_size=10, unique=True
)


@settings(max_examples=40, suppress_health_check=list(HealthCheck))
@given(astray=TAMPERING, unscheduled=st.sets(st.sampled_from(PEOPLE)))
def test_what_went_astray_is_put_right_and_told(
    seg: World, astray: list[tuple[str, Any]], unscheduled: set[Any]
) -> None:
    right, schedule, told = seg.everybody(), changes(seg), len(seg.told())
    sizes = seg.sizes()
    with seg.db.transaction() as connection:
        for id_, key in astray:
            values = {"id": id_, "key": key, "now": NOW}
            number = "(SELECT number FROM segment WHERE id = :id)"
            if key in right[id_]:
                statement = f"DELETE FROM membership WHERE segment_number = {number} AND contact_id = :key"
                delta = -1
            else:
                statement = (
                    "INSERT INTO membership (segment_number, contact_id, enter_time) "
                    f"SELECT {number}, :key, :now"
                )
                delta = 1
            connection.execute(sa.text(statement), values)
            connection.execute(
                sa.text(f"INSERT INTO segment_size (segment_number, delta) SELECT {number}, {delta}"), values
            )
        for key in unscheduled:
            connection.execute(
                sa.text("UPDATE contact_state SET next_change = NULL WHERE contact_id = :key"), {"key": key}
            )
    result = seg.rebuild()
    assert (seg.everybody(), changes(seg), seg.sizes()) == (right, schedule, sizes)
    assert {(item.segment, item.member_count) for item in result.segments} == {
        (f"segments/{id_}", len(members)) for id_, members in right.items()
    }
    expected = {("segment.entered" if key in right[id_] else "segment.left", id_, key) for id_, key in astray}
    news = seg.told()[told:]
    # A segment that names one that went astray is put right in the same step, so only what was wrong is told.
    assert {item[:3] for item in news} == expected
    assert len(news) == len(expected)
    assert not any(historical for *_, historical in news)
    entered = sum(item.entered_count for item in result.segments)
    assert (entered, sum(item.left_count for item in result.segments)) == (
        sum(kind == "segment.entered" for kind, *_ in expected),
        sum(kind == "segment.left" for kind, *_ in expected),
    )


def test_a_pass_is_cancelled_and_done_again(seg: World) -> None:
    right = seg.everybody()
    with seg.db.transaction() as connection:
        connection.execute(sa.text("DELETE FROM membership"))
        connection.execute(sa.text("DELETE FROM segment_size"))
    with pytest.raises(Exception, match="stopped by the test"):
        seg.rebuild(progress=Progress(stop_before=0))
    assert seg.query("SELECT count(*) FROM membership") == [0]
    seg.rebuild()
    assert seg.everybody() == right
    assert seg.sizes() == {id_: len(members) for id_, members in right.items()}


def test_a_pass_that_was_cut_short_counts_on(seg: World, monkeypatch: pytest.MonkeyPatch) -> None:
    right, told = seg.everybody(), len(seg.told())
    with seg.db.transaction() as connection:
        connection.execute(sa.text("DELETE FROM membership"))
        connection.execute(sa.text("DELETE FROM segment_size"))
    monkeypatch.setattr(settling, "BATCH", 3)
    first = Progress(stop_before=2)
    with pytest.raises(Exception, match="stopped by the test"):
        seg.rebuild(progress=first)
    assert 0 < seg.query("SELECT count(DISTINCT contact_id) FROM membership")[0] < len(PEOPLE)
    result = seg.rebuild(progress=Progress(state=json.loads(json.dumps(first.state))))
    assert seg.everybody() == right
    assert len(seg.told()) - told == sum(len(members) for members in right.values())
    assert {item.segment: (item.entered_count, item.left_count) for item in result.segments} == {
        f"segments/{id_}": (len(members), 0) for id_, members in right.items()
    }


@pytest.fixture
def sliced(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let slices have four contacts."""
    for name, value in {"START": 4, "FEWEST": 4, "FASTER": 1, "SLOWER": 1}.items():
        monkeypatch.setattr(sweeps, name, value)


def test_a_pass_goes_slice_by_slice_and_tells_how_far_it_is(seg: World, sliced: None) -> None:
    right = seg.everybody()
    with seg.db.transaction() as connection:
        connection.execute(sa.text("DELETE FROM membership"))
        connection.execute(sa.text("DELETE FROM segment_size"))
    progress = Progress()
    seg.rebuild(progress=progress)
    assert (seg.everybody(), seg.sizes()) == (right, {id_: len(members) for id_, members in right.items()})
    assert [told[:2] for told in progress.told] == [(0, 12), (4, 12), (8, 12), (12, 12)]
    assert {told[2] for told in progress.told} == {f"{len(RULES)} segments in one pass: looking who differs"}
    assert progress.stages[-1][:2] == (12, 12)


def test_a_pass_that_was_cut_short_looks_at_no_slice_again(
    seg: World, sliced: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nor do its counts begin anew."""
    right, told = seg.everybody(), len(seg.told())
    with seg.db.transaction() as connection:
        connection.execute(sa.text("DELETE FROM membership"))
        connection.execute(sa.text("DELETE FROM segment_size"))
    looked: list[sweeps.Slice] = []
    find = differing.Finder.find

    def noted(finder: differing.Finder, connection: sa.Connection, of: sweeps.Slice, *more: Any) -> None:
        looked.append(of)
        find(finder, connection, of, *more)

    monkeypatch.setattr(differing.Finder, "find", noted)
    # Asked before each batch of those who differ, and once more when a slice has none left.
    first = Progress(stop_before=4)
    with pytest.raises(Exception, match="stopped by the test"):
        seg.rebuild(progress=first)
    assert len(looked) == 3
    put_right = {key for members in seg.everybody().values() for key in members}
    assert put_right == {key for key in PEOPLE if key <= looked[1].last} - nobody_of(right)
    second = Progress(state=json.loads(json.dumps(first.state)))
    result = seg.rebuild(progress=second)
    assert [of.first for of in looked] == [
        sweeps.FIRST,
        *(UUID(int=of.last.int + 1) for of in looked[:2]),
        looked[2].first,
    ]
    assert (seg.everybody(), len(seg.told()) - told) == (
        right,
        sum(len(members) for members in right.values()),
    )
    assert {item.segment: item.entered_count for item in result.segments} == {
        f"segments/{id_}": len(members) for id_, members in right.items()
    }
    assert second.told[0][0] == 8
    assert second.stages[-1][:2] == (12, 12)


def nobody_of(members: dict[str, set[UUID]]) -> set[UUID]:
    """Return those who are in no segment."""
    return set(PEOPLE).difference(*members.values())


def test_a_segment_with_a_new_rule_and_those_that_name_it_are_not_settled(seg: World) -> None:
    seg.define("young", "contact.order_count >= 1 && contact.order_count < 3")
    seg.define("old", '!in_segment("segments/young")')
    before = seg.members("old")
    with seg.db.transaction() as connection:
        defining.update_segment(seg.service, connection, "young", Change(rule="contact.order_count >= 1"), "")
    result = seg.rebuild()
    by_id = {item.segment: item for item in result.segments}
    assert by_id["segments/young"].version == 2
    assert seg.members("old") == before - seg.members("young")
    assert by_id["segments/old"].left_count == len(before & seg.members("young"))
