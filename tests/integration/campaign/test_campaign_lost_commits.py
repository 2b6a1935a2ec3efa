"""What a sender recorded without waiting for the disk survives a crash of the database: it records it again."""

from __future__ import annotations

from datetime import timedelta
from types import SimpleNamespace
from typing import Any

import pytest
import sqlalchemy as sa
from rapport_sdk import Outcome, SendResult
from rapport_testing.smtp import SmtpServer

from services.campaign.models import kit, message
from services.campaign.usecases.outcomes import result_of
from services.campaign.usecases.recording import MOST_UNSURE
from services.campaign.usecases.sending import HAND_OVER, Sender
from services.kit.runtime import Runtime
from tests.support.campaign import DENIED, NOW, World, counts, make_campaign, make_template, plan


def events(runtime: Runtime) -> int:
    with runtime.db.read() as connection:
        return int(connection.scalar(sa.select(sa.func.count()).select_from(kit.outbox)) or 0)


def test_a_recording_that_the_database_lost_is_made_again(
    runtime: Runtime, world: World, sender: Sender, smtp: SmtpServer
) -> None:
    members = HAND_OVER + 10
    world.add(members)
    make_template(runtime)
    make_campaign(runtime)
    plan(runtime)
    while sender.run_once():
        pass
    assert (counts(runtime).of("sent"), events(runtime)) == (members, members)
    assert [len(results) for _, results, _ in sender._recorder.unsure] == [10], (
        "the second hand-over made sure of those before"
    )
    # The crash takes back the commit of the last ten, with their events, and another process recovers them.
    keys = [result.claim.id for _, results, _ in sender._recorder.unsure for result in results]
    with runtime.db.transaction() as connection:
        connection.execute(sa.update(message).where(message.c.id.in_(keys)).values(state="unknown"))
        subjects = [f"messages/{key}" for key in keys]
        connection.execute(sa.delete(kit.outbox).where(kit.outbox.c.subject.in_(subjects)))
    sender._locks._drop()  # as the session's end does
    sender.run_once()
    assert (counts(runtime).of("sent"), events(runtime), len(smtp.received())) == (members, members, members)
    assert sender._recorder.unsure == []


def test_recording_again_what_was_not_lost_changes_nothing(
    runtime: Runtime, world: World, sender: Sender, smtp: SmtpServer
) -> None:
    world.add(3)
    make_template(runtime)
    make_campaign(runtime)
    plan(runtime)
    sender.run_once()
    before = counts(runtime), events(runtime)
    sender._failed = True
    sender.run_once()
    assert (counts(runtime), events(runtime)) == before
    assert len(smtp.received()) == 3


def test_what_is_remembered_is_bounded_when_nobody_is_written_to(
    runtime: Runtime, world: World, sender: Sender, smtp: SmtpServer
) -> None:
    world.add(420, consent=DENIED)
    make_template(runtime)
    make_campaign(runtime)
    plan(runtime)
    most = 0
    while sender.run_once():
        most = max(most, len(sender._recorder.unsure))
    assert counts(runtime).of("suppressed") == 420
    assert most <= MOST_UNSURE


@pytest.mark.parametrize(
    ("asked", "expected"),
    [
        (timedelta(seconds=7), timedelta(seconds=7)),
        (timedelta(-1), timedelta(0)),
        (timedelta(9), timedelta(hours=4)),
    ],
)
def test_the_time_that_a_provider_asks_for_is_when_a_message_is_due(
    asked: timedelta, expected: timedelta
) -> None:
    channel: Any = SimpleNamespace(capabilities=SimpleNamespace(idempotent=False))
    item: Any = SimpleNamespace(hand_over=SimpleNamespace(claim=SimpleNamespace(attempt_count=0)), note="")
    outcome = SendResult(Outcome.TEMPORARY, reason="busy", retry_after=asked)
    result = result_of(channel, item, outcome, NOW)
    assert (result.state, result.due_time) == ("planned", NOW + expected)
