"""Ids, order and circles of segments."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.kit.errors import FailedPrecondition, InvalidArgument
from services.segmentation.domain import (
    check_id,
    chunks,
    levels,
    parse_segment,
    refuse_cycle,
    with_dependents,
)

names = st.sampled_from([f"s{number}" for number in range(8)])
graphs = st.dictionaries(names, st.sets(names, max_size=4), max_size=8)


@pytest.mark.parametrize("good", ["a", "a1", "a-b_c", "a" * 63])
def test_ids(good: str) -> None:
    assert check_id(good) == good
    assert parse_segment(f"segments/{good}") == good


@pytest.mark.parametrize("bad", ["", "A", "1a", "_a", "-a", "a.b", "a b", "é", "a\n", "a" * 64])
def test_what_is_no_id(bad: str) -> None:
    with pytest.raises(InvalidArgument):
        check_id(bad)
    with pytest.raises(InvalidArgument):
        parse_segment(f"segments/{bad}")


def has_circle(edges: dict[str, set[str]]) -> bool:
    """Tell by brute force: some segment is reached from itself."""
    for start in edges:
        reached, waiting = set(), list(edges[start])
        while waiting:
            at = waiting.pop()
            if at not in reached:
                reached.add(at)
                waiting.extend(edges.get(at, ()))
        if start in reached:
            return True
    return False


@given(graphs)
def test_each_level_comes_after_those_that_it_names(edges: dict[str, set[str]]) -> None:
    if has_circle(edges):
        with pytest.raises(FailedPrecondition, match="circle"):
            levels(edges)
        return
    found = levels(edges)
    place = {name: number for number, level in enumerate(found) for name in level}
    assert place.keys() == edges.keys()
    for name, below in edges.items():
        inside = [place[item] for item in below if item in edges]
        assert place[name] == max(inside, default=-1) + 1


@given(graphs, names, st.sets(names, max_size=4))
def test_a_circle_is_refused_with_its_path_and_nothing_else_is(
    edges: dict[str, set[str]], segment: str, depends: set[str]
) -> None:
    others = {name: below for name, below in edges.items() if name != segment}
    if has_circle(others):
        return
    if not has_circle({**others, segment: depends}):
        refuse_cycle(segment, depends, edges)
        return
    with pytest.raises(FailedPrecondition) as caught:
        refuse_cycle(segment, depends, edges)
    assert caught.value.reason == "SEGMENT_CYCLE"
    path = [name.removeprefix("segments/") for name in caught.value.metadata["cycle"].split(" -> ")]
    assert path[0] == path[-1] == segment
    assert path[1] in depends
    assert all(after in edges[before] for before, after in pairwise(path[1:]))


@given(graphs, st.sets(names, max_size=3))
def test_dependents_come_along_in_order(edges: dict[str, set[str]], wanted: set[str]) -> None:
    if has_circle(edges):
        return
    found = with_dependents(wanted, edges)
    assert set(found) >= wanted & edges.keys()
    assert len(found) == len(set(found))
    for name in edges:
        named = {item for item in edges[name] if item in edges}
        assert (name in found) == (name in wanted or bool(named & set(found)))
        if name in found:
            assert all(found.index(item) < found.index(name) for item in named & set(found))


def test_chunks() -> None:
    assert list(chunks([1, 2, 3], 2)) == [[1, 2], [3]]
    assert list(chunks([], 2)) == []
