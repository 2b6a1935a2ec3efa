"""Which messages may be in a sender's hand together, after senders died with some of them."""

from __future__ import annotations

from dataclasses import dataclass

from hypothesis import given
from hypothesis import strategies as st

from services.campaign.domain.deaths import ALONE, SHARES, company


@dataclass(frozen=True)
class Message:
    key: int
    death_count: int


def messages(counts: list[int]) -> list[Message]:
    return [Message(key, count) for key, count in enumerate(counts)]


def test_those_whose_senders_live_are_taken_as_they_are() -> None:
    claims = messages([0] * 500)
    assert company(claims, suspects=True) is claims
    assert company(claims, suspects=False) is claims


def test_shares_become_smaller_and_end_with_one() -> None:
    for deaths, share in ((1, 60), (2, 8), (3, 1), (9, 1)):
        found = company(messages([deaths] * 500), suspects=True)
        assert [claim.key for claim in found] == list(range(share))


@given(
    counts=st.lists(st.integers(0, 9), min_size=1, max_size=200),
    suspects=st.booleans(),
    pick=st.integers(0, 199),
)
def test_only_those_suspected_alike_are_together_and_never_none(
    counts: list[int], suspects: bool, pick: int
) -> None:
    claims = messages(counts)
    found = company(claims, suspects=suspects, choose=lambda several: several[pick % len(several)])
    levels = {min(claim.death_count, ALONE) for claim in found}
    assert len(levels) == 1
    [level] = levels
    assert 0 < len(found) <= SHARES[level]
    assert set(found) <= set(claims)
    # Both kinds have their turn where there are both.
    if 0 in counts and any(counts):
        assert (level > 0) == suspects
