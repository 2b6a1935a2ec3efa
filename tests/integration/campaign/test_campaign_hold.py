"""Sending that is held after a restore: nothing leaves, and whoever releases it decides on what was due."""

from __future__ import annotations

from datetime import timedelta

import pytest
import sqlalchemy as sa
from rapport_testing.smtp import SmtpServer

from services.campaign.domain.resolutions import AS_RETRY
from services.campaign.models import message
from services.campaign.usecases import hold, resolving
from services.campaign.usecases.sending import Sender
from services.kit.clock import FixedClock
from services.kit.errors import FailedPrecondition
from services.kit.runtime import Runtime
from tests.support.campaign import NOW, World, counts, make_campaign, make_template, plan


def _held(runtime: Runtime, world: World) -> FixedClock:
    world.add(3)
    make_template(runtime)
    make_campaign(runtime)
    plan(runtime)
    # One is not due for an hour: it cannot have been sent by anybody yet.
    with runtime.db.transaction() as connection:
        first = connection.scalars(sa.select(message.c.id).order_by(message.c.id).limit(1)).one()
        later = sa.update(message).where(message.c.id == first).values(due_time=NOW + timedelta(hours=1))
        connection.execute(later)
    hold.hold(runtime.db, NOW)
    hold.hold(runtime.db, NOW + timedelta(hours=5))
    assert isinstance(runtime.clock, FixedClock)
    return runtime.clock


def test_what_was_due_under_a_hold_is_unknown_and_what_was_not_is_sent(
    runtime: Runtime, world: World, sender: Sender, smtp: SmtpServer
) -> None:
    clock = _held(runtime, world)
    assert sender.run_once() == 0
    waiting = hold.look(runtime.db, clock)
    assert (waiting.since, waiting.due, waiting.unplanned) == (NOW, 2, [])
    assert hold.release(runtime.db, clock, send=False) == 2
    assert sender.run_once() == 0
    assert (counts(runtime).of("unknown"), counts(runtime).of("planned")) == (2, 1)
    with runtime.db.read() as connection:
        reasons = set(connection.scalars(sa.select(message.c.reason).where(message.c.state == "unknown")))
        doubted = connection.scalars(sa.select(message.c.id).where(message.c.state == "unknown")).all()
    assert reasons == {hold.RESTORED}
    # An operator who knows that one of them was not sent has it sent.
    resolving.resolve_message(runtime, doubted[0], AS_RETRY)
    clock.instant = NOW + timedelta(hours=1)
    assert sender.run_once() == 2
    assert len(smtp.received()) == 2
    with pytest.raises(FailedPrecondition) as caught:
        hold.look(runtime.db, clock)
    assert caught.value.reason == "NOT_HELD"


def test_what_was_due_may_be_sent_all_the_same(
    runtime: Runtime, world: World, sender: Sender, smtp: SmtpServer
) -> None:
    clock = _held(runtime, world)
    assert hold.release(runtime.db, clock, send=True) == 0
    assert sender.run_once() == 2
    assert len(smtp.received()) == 2
