"""Messages that may have been sent: held, or sent again where campaign and channel both allow it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta

import pytest
import sqlalchemy as sa
from rapport_sdk import Outcome, SendResult

from services.campaign.domain.approvals import Policy, changes
from services.campaign.domain.campaigns import RETRY
from services.campaign.domain.ledger import MAX_ATTEMPTS
from services.campaign.models import channel, message
from services.campaign.store import approvals as approval_store
from services.campaign.store import campaigns, recovering
from services.campaign.usecases import approvals
from services.kit import context
from services.kit.clock import FixedClock
from services.kit.context import CallContext
from services.kit.errors import FailedPrecondition
from services.kit.names import new_id
from tests.support.campaign import NOW
from tests.support.campaign_limits import FAST, SURE, Hall, drain, open_hall
from tests.support.postgres import DatabaseFactory
from tests.support.schema import create_schema

CASES = [(FAST, "hold"), (FAST, "retry"), (SURE, "hold"), (SURE, "retry")]


@pytest.fixture(scope="module")
def open_one(make_module_database: DatabaseFactory) -> Iterator[Hall]:
    url = make_module_database("campaign")
    create_schema("campaign", url)
    with open_hall(url, FixedClock(NOW)) as made:
        yield made


@pytest.fixture
def hall(open_one: Hall) -> Hall:
    open_one.empty()
    for name, policy in CASES:
        key = f"{name[5:]}-{policy}"
        open_one.campaign(open_one.world.add(), key, channel=name, unknown_policy=policy)
    return open_one


def states(hall: Hall) -> dict[str, str]:
    return {row.origin.partition("/")[2]: row.state for row in hall.rows()}


def test_an_answer_that_is_lost(hall: Hall) -> None:
    hall.tape.answer = lambda name, item: SendResult(Outcome.UNKNOWN, reason="the connection broke")
    sender = hall.sender()
    drain(sender)
    held = {"fast-hold": "unknown", "fast-retry": "unknown", "sure-hold": "unknown"}
    assert states(hall) == {**held, "sure-retry": "planned"}
    hall.tape.answer = lambda name, item: SendResult(Outcome.ACCEPTED)
    assert isinstance(hall.runtime.clock, FixedClock)
    hall.runtime.clock.instant += timedelta(minutes=2)
    drain(sender)
    assert states(hall) == {**held, "sure-retry": "sent"}


def test_a_sender_that_died(hall: Hall) -> None:
    dead = new_id()
    with hall.runtime.db.transaction() as connection:
        for name, idempotent in ((FAST, False), (SURE, True)):
            values = {"name": name, "address_kind": "email", "idempotent": idempotent, "when_gone": "hold"}
            connection.execute(sa.insert(channel).values(values))
        connection.execute(sa.update(message).values(state="sending", sender_id=dead))
        # Messages of no campaign have no policy: what their channel can do decides.
        connection.execute(
            sa.update(message).where(message.c.origin == "campaigns/sure-hold").values(origin="journeys/j")
        )
        assert recovering.try_recover(connection, dead, NOW) == recovering.Recovered(planned=2, unknown=2)
    assert states(hall) == {
        "fast-hold": "unknown",
        "fast-retry": "unknown",
        "sure-retry": "planned",
        "j": "planned",
    }


def test_what_was_on_its_way_too_often_is_not_sent_again_by_itself(hall: Hall) -> None:
    """A message that kills whoever sends it must not kill every sender, one after the other."""
    dead = new_id()
    for count, expected in ((MAX_ATTEMPTS - 1, "planned"), (MAX_ATTEMPTS, "unknown")):
        with hall.runtime.db.transaction() as connection:
            connection.execute(sa.delete(channel))
            values = {"name": SURE, "address_kind": "email", "idempotent": True, "when_gone": "hold"}
            connection.execute(sa.insert(channel).values(values))
            connection.execute(
                sa.update(message)
                .where(message.c.origin == "campaigns/sure-retry")
                .values(state="sending", sender_id=dead, attempt_count=count)
            )
            recovering.try_recover(connection, dead, NOW)
        assert states(hall)["sure-retry"] == expected


def test_who_approves_a_campaign_approves_what_becomes_of_these(hall: Hall) -> None:
    hall.world.members["segments/all"] = []
    hall.campaign([], "draft", channel=SURE, state="draft")
    runtime, now = hall.runtime, hall.runtime.clock.now()
    with runtime.db.transaction() as connection:
        approval_store.set_policy(connection, Policy(topic="", always=True, update_time=now))
        with context.activate(CallContext("1", principal="an")):
            approvals.request(runtime, connection, "campaigns/draft", "")
        with context.activate(CallContext("2", principal="binh")):
            approvals.approve(runtime, connection, "campaigns/draft", "", "")
        stored = campaigns.get(connection, "draft")
        assert stored is not None
        approvals.require(runtime, connection, stored)
        with pytest.raises(
            FailedPrecondition, match="what becomes of messages that may have been sent"
        ) as caught:
            approvals.require(runtime, connection, replace(stored, unknown_policy=RETRY))
        assert caught.value.reason == "APPROVAL_VOID"
    # What was approved before anybody asked about it held what was unknown.
    assert changes({}, {"unknown_policy": ""}, 0) == []
