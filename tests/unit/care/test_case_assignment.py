"""Round robin: whose turn it is, who is skipped, and what the reason says."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from services.care.domain.assignment import Candidate, round_robin


def free(*ids: str) -> list[Candidate]:
    return [Candidate(key, True, 0, 0) for key in ids]


@pytest.mark.parametrize(
    ("last", "chosen"), [(None, "a"), ("a", "b"), ("b", "c"), ("c", "a"), ("left-the-queue", "a")]
)
def test_the_next_in_the_queues_order_is_chosen(last: str | None, chosen: str):
    assert round_robin(free("a", "b", "c"), last).agent == chosen


def test_the_reason_names_who_was_skipped_and_why():
    crowd = [
        Candidate("a", True, 3, 5),
        Candidate("b", False, 0, 0),
        Candidate("c", True, 5, 5),
        Candidate("d", True, 9, 0),
    ]
    choice = round_robin(crowd, "a")
    assert choice.agent == "d"
    assert choice.reason == (
        "round robin: next after agents/a; agents/b skipped: not available; "
        "agents/c skipped: at its capacity of 5"
    )
    assert round_robin(crowd, None).reason == "round robin: first of the queue"


def test_without_anybody_the_reason_says_so():
    assert round_robin([], "a") == round_robin([], None)
    assert round_robin([], None).agent is None
    assert "no agents" in round_robin([], None).reason
    nobody = round_robin([Candidate("a", False, 0, 0), Candidate("b", True, 1, 1)], "a")
    assert nobody.agent is None
    assert "agents/a skipped: not available" in nobody.reason
    assert "agents/b skipped: at its capacity of 1" in nobody.reason


CANDIDATES = st.lists(
    st.builds(
        Candidate,
        st.sampled_from("abcdefgh"),
        st.booleans(),
        st.integers(0, 4),
        st.sampled_from([0, 0, 1, 3]),
    ),
    max_size=8,
    unique_by=lambda one: one.id,
)


@given(CANDIDATES, st.sampled_from([None, *"abcdefgh"]), st.integers(1, 40))
@example([Candidate("a", True, 0, 2), Candidate("b", True, 0, 0)], None, 3)  # full in the middle of a round
def test_turns_are_fair_and_nobody_is_overloaded(crowd: list[Candidate], last: str | None, cases: int):
    given_to: Counter[str] = Counter()
    for _ in range(cases):
        choice = round_robin(crowd, last)
        able = [one.id for one in crowd if not one.obstacle()]
        assert (choice.agent is None) == (not able)
        if choice.agent is None:
            break
        assert choice.agent in able
        last = choice.agent
        given_to[last] += 1
        crowd = [replace(one, open_cases=one.open_cases + (one.id == last)) for one in crowd]
    # Between two turns of one agent, each who could still take a case had one.
    fewest = min((given_to[one.id] for one in crowd if not one.obstacle()), default=None)
    assert fewest is None or all(count <= fewest + 1 for count in given_to.values())
    assert all(not one.capacity or one.open_cases <= max(one.capacity, 4) for one in crowd)
