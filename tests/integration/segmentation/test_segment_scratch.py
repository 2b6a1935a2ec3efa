"""The proof of upkeep proves itself: what an increment loses is noticed, whatever a rebuild would see of it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from unittest.mock import patch

import pytest
import sqlalchemy as sa

from services.segmentation.store import differing, membership
from tests.support.segmentation import NOW, World, contact, contact_id, days, order
from tests.support.segmentation_scratch import agrees_with_scratch

PERSON, BUYER = contact_id(1), contact_id(2)


@pytest.fixture
def blinded(seg: World, monkeypatch: pytest.MonkeyPatch) -> World:
    """Three segments and their members, and rebuilds that find nobody who differs from what the rules say."""
    seg.deliver(
        contact(PERSON, region_code="VN"), contact(BUYER, region_code="US"), order(BUYER, NOW - days(1))
    )
    seg.define("vietnam", 'contact.region_code == "VN"')
    seg.define("recent", "now - contact.last_order_time <= days(7)")
    seg.define("again", "events.order_placed.size() >= 2")
    agrees_with_scratch(seg)
    made = differing.Finder

    def nobody(verdicts: sa.Select[Any], *more: Any) -> differing.Finder:
        return made(verdicts.where(sa.false()), *more)

    monkeypatch.setattr(differing, "Finder", nobody)
    return seg


def lose_an_increment(seg: World, *events: Any) -> None:
    with patch.object(membership, "apply_step", return_value=[]):
        seg.deliver(*events)


def forget(statement: str) -> Callable[[World], None]:
    def run(seg: World) -> None:
        with seg.db.transaction() as connection:
            assert connection.exec_driver_sql(statement).rowcount == 1

    return run


LOSSES: dict[str, tuple[Callable[[World], None], str]] = {
    "entry": (
        lambda seg: lose_an_increment(seg, contact(BUYER, revision=2, region_code="VN")),
        "members are others",
    ),
    "exit": (
        lambda seg: lose_an_increment(seg, contact(PERSON, revision=2, region_code="US")),
        "members are others",
    ),
    "entry by an order": (
        lambda seg: lose_an_increment(seg, order(PERSON, NOW - days(1))),
        "members are others",
    ),
    "a change of the schedule": (
        lambda seg: lose_an_increment(seg, order(BUYER, NOW + days(1))),
        "but something changes",
    ),
    "the schedule": (
        forget("UPDATE contact_state SET next_change = NULL WHERE next_change IS NOT NULL"),
        "never due",
    ),
    "some of the schedule": (
        forget("UPDATE contact_state SET next_change = '2027-01-01Z' WHERE next_change IS NOT NULL"),
        "but something changes",
    ),
    "an order's sum": (
        forget("UPDATE profile SET total_spent = total_spent - 1 WHERE order_count > 0"),
        "sums of a profile",
    ),
    "what was told": (
        forget("DELETE FROM outbox WHERE id = (SELECT id FROM outbox ORDER BY id DESC LIMIT 1)"),
        "other members are told",
    ),
}


@pytest.mark.parametrize("loss", LOSSES)
def test_what_is_lost_is_noticed_although_a_rebuild_is_blind_to_it(blinded: World, loss: str) -> None:
    lose, noticed = LOSSES[loss]
    lose(blinded)
    before, told = blinded.everybody(), len(blinded.told())
    blinded.rebuild()
    assert (blinded.everybody(), len(blinded.told())) == (before, told)
    with pytest.raises(AssertionError, match=noticed):
        agrees_with_scratch(blinded)


def test_history_that_was_lost_is_noticed(blinded: World) -> None:
    blinded.deliver(contact(PERSON, revision=2, region_code="US"))
    agrees_with_scratch(blinded)
    forget("DELETE FROM membership_past")(blinded)
    with pytest.raises(AssertionError, match="history lacks"):
        agrees_with_scratch(blinded)
