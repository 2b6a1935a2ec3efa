"""What people do with messages puts them into segments; what turns out to be a machine's takes them out again."""

from __future__ import annotations

from datetime import timedelta
from uuid import UUID

import pytest
from rapport.campaign.v1 import events_pb2 as campaign
from rapport.events.v1 import events_pb2

from services.kit.names import new_id
from tests.support.segmentation import NOW, World, contact, contact_id, event, merged

KEY, OTHER = contact_id(1), contact_id(2)
RULE = 'events.message_clicked.exists(e, e.origin == "campaigns/spring" && e.link == 3)'


def clicked(key: UUID, id_: UUID, link: int = 3) -> events_pb2.Event:
    data = campaign.MessageEngaged(origin="campaigns/spring", channel="email.smtp", topic="news", link=link)
    return event("message.clicked", data, key, source="campaign", id_=id_, time=NOW - timedelta(hours=1))


def taken_back(key: UUID, id_: UUID) -> events_pb2.Event:
    data = campaign.EngagementReversed(origin="campaigns/spring", event=str(id_), link=3)
    return event("message.click_reversed", data, key, source="campaign")


@pytest.fixture
def clicks(seg: World) -> World:
    seg.deliver(contact(KEY), contact(OTHER))
    seg.define("clicked", RULE)
    return seg


def test_a_click_and_its_reversal(clicks: World) -> None:
    first = new_id()
    clicks.deliver(clicked(KEY, first), clicked(OTHER, new_id(), link=4))
    assert clicks.members("clicked") == {KEY}
    clicks.deliver(taken_back(KEY, first))
    clicks.deliver(taken_back(KEY, first))
    assert clicks.members("clicked") == set()
    clicks.deliver(clicked(KEY, new_id()))
    assert clicks.members("clicked") == {KEY}


def test_a_reversal_takes_back_its_own_click_only(clicks: World) -> None:
    first, second = new_id(), new_id()
    clicks.deliver(clicked(KEY, first), clicked(KEY, second))
    clicks.deliver(taken_back(KEY, first))
    assert clicks.members("clicked") == {KEY}
    clicks.deliver(taken_back(KEY, second))
    assert clicks.members("clicked") == set()


def test_a_click_that_comes_after_its_reversal_has_no_effect(clicks: World) -> None:
    first, second = new_id(), new_id()
    clicks.deliver(taken_back(KEY, first))
    clicks.deliver(clicked(KEY, first))
    clicks.deliver(clicked(KEY, second), taken_back(KEY, second))
    clicks.deliver(taken_back(OTHER, third := new_id()), clicked(OTHER, third))
    assert clicks.members("clicked") == set()


def test_the_reversal_follows_a_merge(clicks: World) -> None:
    first = new_id()
    clicks.deliver(clicked(KEY, first))
    clicks.deliver(merged(KEY, OTHER))
    assert clicks.members("clicked") == {OTHER}
    clicks.deliver(taken_back(KEY, first))
    assert clicks.members("clicked") == set()


def test_openings_are_a_type_of_their_own(seg: World) -> None:
    seg.deliver(contact(KEY), contact(OTHER))
    seg.define("opened", "has(events.message_opened)")
    data = campaign.MessageEngaged(origin="campaigns/spring", channel="email.smtp", topic="news", link=-1)
    seg.deliver(event("message.opened", data, KEY, source="campaign", time=NOW - timedelta(hours=1)))
    assert seg.members("opened") == {KEY}
